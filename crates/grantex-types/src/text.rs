//! Text that people read: what may stand in a name, and how older text is shown.
//!
//! Unicode has invisible characters, and characters that change the direction of the following
//! text. In a name they make one text look like another, or hide a part of it (Unicode TR 36 and
//! UTS 39). New text with them is refused; text that was stored before is shown with them spelled
//! out.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Why a text cannot be shown to people as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing in it can be seen.
    #[error("must have at least one visible character")]
    NothingVisible,
    /// A control character, an invisible one, or one that changes the direction of the text.
    #[error(
        "must not contain U+{0:04X}: control, invisible and direction-changing characters are refused"
    )]
    Hidden(u32),
}

/// Whether a character changes the direction of what follows: the bidirectional controls.
pub fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character shows nothing of its own and is no space: Unicode's default ignorable code
/// points, the invisible format characters, line and paragraph separators, and blanks that are
/// letters or symbols.
pub fn is_invisible(c: char) -> bool {
    is_bidi_control(c)
        || is_joiner(c)
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}' | '\u{2028}'..='\u{2029}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// The invisible characters that writing needs: joiners of Arabic and Indic scripts and of emoji,
/// and what chooses between forms of the character before.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}')
}

/// Whether a character has no meaning that two programs agree on: noncharacters and private use.
fn is_unassigned(c: char) -> bool {
    let code = u32::from(c);
    matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{FDD0}'..='\u{FDEF}')
        || code >= 0xF_0000
        || code & 0xFFFE == 0xFFFE
}

/// Whether a joiner may stand after a character. Latin, Greek and Cyrillic letters, all below
/// Armenian, join nothing: there it would only make one name look like another. Digits, `#` and `*`
/// begin keycap emoji.
fn takes_joiner(c: char) -> bool {
    is_visible(c)
        && (c >= '\u{0530}' || matches!(c, '0'..='9' | '#' | '*' | '\u{00A9}' | '\u{00AE}'))
}

fn is_visible(c: char) -> bool {
    !c.is_control() && !c.is_whitespace() && !is_invisible(c) && !is_unassigned(c)
}

/// Whether a character only changes how the one before it looks, as combining marks do; also one
/// that this program's Unicode tables do not have.
fn is_mark(c: char) -> bool {
    // The standard library has the table of grapheme extenders for this alone: what `Debug` shows
    // of a character, which spells out those that would show nothing by themselves.
    c.escape_debug().nth(1) == Some('u')
}

/// The first character that may not stand in a text that people read.
///
/// Line breaks and tabs may, where the text has `lines`. A joiner may follow what it joins: a
/// character that [takes one](takes_joiner), or one with a variation selector. A row of joiners,
/// which could carry a hidden message, may not.
fn hidden(text: &str, lines: bool) -> Option<char> {
    let (mut one_back, mut two_back) = (' ', ' ');
    for c in text.chars() {
        let selected = matches!(one_back, '\u{FE00}'..='\u{FE0F}') && takes_joiner(two_back);
        let allowed = if is_joiner(c) {
            takes_joiner(one_back) || selected && matches!(c, '\u{200C}' | '\u{200D}')
        } else if c.is_control() {
            lines && matches!(c, '\n' | '\r' | '\t')
        } else {
            !is_invisible(c) && !is_unassigned(c)
        };
        if !allowed {
            return Some(c);
        }
        (two_back, one_back) = (one_back, c);
    }
    None
}

/// Whether one line of text can be shown to people.
pub fn check(text: &str) -> Result<(), TextError> {
    if let Some(c) = hidden(text, false) {
        return Err(TextError::Hidden(c.into()));
    }
    if text.chars().any(|c| is_visible(c) && !is_mark(c)) {
        Ok(())
    } else {
        Err(TextError::NothingVisible)
    }
}

/// Like [`check`] for several lines, or none.
pub fn check_lines(text: &str) -> Result<(), TextError> {
    hidden(text, true).map_or(Ok(()), |c| Err(TextError::Hidden(c.into())))
}

/// A text as it can be shown: each character that new text must not have stands as `[U+202E]`. Text
/// that [`check_lines`] accepts is returned unchanged.
///
/// ```
/// assert_eq!(grantex_types::text::shown("a\u{202E}b"), "a[U+202E]b");
/// assert_eq!(grantex_types::text::shown("Ada"), "Ada");
/// ```
pub fn shown(text: &str) -> Cow<'_, str> {
    if hidden(text, true).is_none() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().saturating_add(8));
    for c in text.chars() {
        let is_break = matches!(c, '\n' | '\r' | '\t');
        if is_invisible(c) || is_unassigned(c) || c.is_control() && !is_break {
            // Writing into a string cannot fail.
            let _ = write!(shown, "[U+{:04X}]", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_accepted() {
        for text in [
            "Ada",
            "日本語",
            "مرحبا",
            "שלום",
            "नमस्ते",
            "می\u{200C}خواهم",
            "क्\u{200D}ष",
            "👩\u{200D}💻",
            "❤\u{FE0F}\u{200D}🔥",
            "👍🏽",
            "1\u{FE0F}\u{20E3}",
            "©\u{FE0F}",
            "🇩🇪",
            "e\u{0301}",
            "a b",
            "O’Neil – Söhne",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
            assert_eq!(shown(text), text);
        }
        assert_eq!(check_lines("one\n\ttwo"), Ok(()));
    }

    #[test]
    fn what_hides_or_turns_is_refused() {
        for c in [
            '\u{0}',
            '\u{7F}',
            '\u{85}',
            '\u{AD}',
            '\u{61C}',
            '\u{200B}',
            '\u{200E}',
            '\u{200F}',
            '\u{2028}',
            '\u{2029}',
            '\u{202A}',
            '\u{202E}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{206A}',
            '\u{2800}',
            '\u{3164}',
            '\u{115F}',
            '\u{FEFF}',
            '\u{FFA0}',
            '\u{FFF9}',
            '\u{E0041}',
            '\u{E0100}',
            '\u{180E}',
            '\u{E000}',
            '\u{FDD0}',
            '\u{FFFE}',
            '\u{F0000}',
        ] {
            for text in [format!("a{c}b"), format!("{c}ab"), format!("ab{c}")] {
                assert_eq!(check(&text), Err(TextError::Hidden(c.into())), "{c:?}");
                assert!(!shown(&text).contains(c));
            }
        }
        assert_eq!(check("a\nb"), Err(TextError::Hidden(10)));
        for text in ["", " ", "\u{3000}", "\u{A0} ", "\u{301}", " \u{301}\u{20DD} ", "\u{94D}"] {
            assert_eq!(check(text), Err(TextError::NothingVisible), "{text:?}");
        }
        // Joiners join; alone, in a row or among Latin letters they only hide.
        for text in [
            "pay\u{200D}pal",
            "pay\u{200C}pal",
            "a\u{FE0F}b",
            "é\u{200D}",
            "\u{200D}a",
            "a \u{200D}b",
            "a\u{200C}\u{200D}b",
            "a\u{FE0F}\u{FE0F}",
            "\u{FE0F}",
        ] {
            assert!(matches!(check(text), Err(TextError::Hidden(_))), "{text:?}");
        }
    }
}
