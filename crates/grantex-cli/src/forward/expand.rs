//! Values from the environment and from files in a configuration's strings.

use std::path::Path;

/// Puts `${NAME}` from the environment and `${file:PATH}` from a file in its place; a relative path
/// begins at `folder`. `$${` is `${` itself: of the dollars before a brace, each pair is one
/// dollar.
pub(super) fn expand(text: &str, folder: &Path) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let text = before.trim_end_matches('$');
        let dollars = before.len().saturating_sub(text.len()).saturating_add(1);
        out.push_str(text);
        out.push_str(&"$".repeat(dollars / 2));
        if dollars.is_multiple_of(2) {
            out.push('{');
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else {
            return Err("a `${` has no closing `}`; write `$${` for a literal `${`".into());
        };
        match name.strip_prefix("file:") {
            Some(path) => {
                let path = folder.join(path);
                let content = std::fs::read_to_string(&path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                out.push_str(content.trim_end());
            }
            None => {
                let missing = |_| {
                    format!(
                        "the environment variable {name} is not set; write `$${{` for a \
                        literal `${{`"
                    )
                };
                out.push_str(&std::env::var(name).map_err(missing)?);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dollar_and_a_brace_can_be_written() {
        let name = env!("CARGO_PKG_NAME");
        for (text, meant) in [
            ("a$b $$ {c}", "a$b $$ {c}".to_owned()),
            ("pa$${ss}", "pa${ss}".to_owned()),
            ("pa$${ss", "pa${ss".to_owned()),
            ("${CARGO_PKG_NAME}", name.to_owned()),
            ("$$${CARGO_PKG_NAME}", format!("${name}")),
            ("$$$${CARGO_PKG_NAME}", "$${CARGO_PKG_NAME}".to_owned()),
            ("$${${CARGO_PKG_NAME}}", format!("${{{name}}}")),
        ] {
            assert_eq!(expand(text, Path::new("")).unwrap(), meant, "{text}");
        }
        for wrong in ["${", "a${X", "${GRANTEX_NO_SUCH}", "${}"] {
            assert!(expand(wrong, Path::new("")).unwrap_err().contains("`$${`"), "{wrong}");
        }
    }
}
