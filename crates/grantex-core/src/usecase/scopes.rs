//! Names that a developer gives to scopes, for the people who read them.

use std::collections::HashSet;

use grantex_types::api::scopes::{NameScopesRequest, NewScopeName};
use grantex_types::{DeveloperId, ErrorCode, Timestamp, text};

use super::audit::{self, Action};
use crate::model::{Actor, Caller, ScopeName};
use crate::store::{Read, Tx};
use crate::{Error, Result, validate};

/// Scopes that a developer can name: several times what one application has, and few enough that
/// all of them are one answer of less than a megabyte.
pub const MOST_NAMED: u32 = 500;
/// Scopes that one call names: as many as one request can ask for, and some milliseconds of the
/// writer.
pub const MOST_AT_ONCE: usize = 100;

/// One line on a phone, or two.
const LONGEST_NAME: usize = 100;
const LONGEST_DESCRIPTION: usize = 300;

/// Gives scopes their names; others keep theirs. Names that would not change are not written.
pub fn name(
    tx: &mut dyn Tx,
    caller: &Caller,
    request: NameScopesRequest,
) -> Result<Vec<ScopeName>> {
    if request.scopes.is_empty() || request.scopes.len() > MOST_AT_ONCE {
        return Err(Error::bad_request(format!("scopes must have 1 to {MOST_AT_ONCE} items")));
    }
    let developer = caller.developer_id;
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for new in request.scopes {
        let name = checked(new, tx.now())?;
        if !seen.insert(name.scope.clone()) {
            return Err(Error::bad_request(format!(
                "scopes lists {} twice; list it once",
                name.scope
            )));
        }
        match tx.scope_name(developer, &name.scope)? {
            Some(known) if known.name == name.name && known.description == name.description => {
                names.push(known);
                continue;
            }
            _ => tx.put_scope_name(developer, &name)?,
        }
        let details = [("name", name.name.as_str()), ("description", name.description.as_str())];
        let by = Actor::api_key(caller.key_id);
        audit::note(tx, developer, by, Action::ScopeNamed, &name.scope, &details)?;
        names.push(name);
    }
    if tx.scope_names(developer, MOST_NAMED.saturating_add(1))?.len() > MOST_NAMED as usize {
        return Err(Error::refused(
            ErrorCode::QuotaExceeded,
            format!(
                "a developer can name {MOST_NAMED} scopes; remove names that you no longer use"
            ),
        ));
    }
    names.sort_by(|one, other| one.scope.cmp(&other.scope));
    Ok(names)
}

/// The name that is given to a scope at a time, if it can be given.
pub fn checked(new: NewScopeName, now: Timestamp) -> Result<ScopeName> {
    let scope =
        validate::scopes(vec![new.scope], 1)?.as_slice().first().cloned().unwrap_or_default();
    Ok(ScopeName {
        scope,
        name: validate::short_name(&new.name, LONGEST_NAME)?,
        description: validate::lines(
            "description",
            new.description.unwrap_or_default().trim(),
            LONGEST_DESCRIPTION,
        )?,
        updated_at: now,
    })
}

/// The scopes that the developer has named.
pub fn list(store: &dyn Read, caller: &Caller) -> Result<Vec<ScopeName>> {
    Ok(store.scope_names(caller.developer_id, MOST_NAMED)?)
}

/// Removes a scope's name.
pub fn remove(tx: &mut dyn Tx, caller: &Caller, scope: &str) -> Result<()> {
    if !tx.delete_scope_name(caller.developer_id, scope)? {
        return Err(Error::not_found("name of this scope"));
    }
    audit::note(
        tx,
        caller.developer_id,
        Actor::api_key(caller.key_id),
        Action::ScopeNameRemoved,
        scope,
        &[],
    )
}

/// A scope as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeText {
    /// The scope itself, safe to show.
    pub scope: String,
    /// The developer's name for it, or words made of the scope.
    pub name: String,
    /// The developer's description of it.
    pub description: String,
}

impl ScopeText {
    /// With the developer's name for it, or else with words made of the scope.
    pub fn load(store: &dyn Read, developer: DeveloperId, scope: &str) -> Result<Self> {
        let named = store.scope_name(developer, scope)?;
        let scope = text::shown(scope).into_owned();
        let (name, description) = match named {
            Some(named) => (named.name, named.description),
            None => (in_words(&scope), String::new()),
        };
        Ok(Self { scope, name, description })
    }
}

/// A scope in words: `calendar:read` becomes "Read calendar". What is written as a URL stays one.
fn in_words(scope: &str) -> String {
    if let Some((_, rest)) = scope.split_once("://") {
        return format!("Use {rest}");
    }
    let (resource, action) = scope.rsplit_once([':', '.']).unwrap_or((scope, ""));
    let words = if action.is_empty() {
        format!("Use {resource}")
    } else {
        format!("{action} {}", resource.replace([':', '.', '_'], " "))
    };
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn scopes_in_words() {
        assert_eq!(super::in_words("calendar:read"), "Read calendar");
        assert_eq!(super::in_words("files.shared:write"), "Write files shared");
        assert_eq!(super::in_words("payments"), "Use payments");
        assert_eq!(
            super::in_words("https://api.example/auth/calendar.readonly"),
            "Use api.example/auth/calendar.readonly"
        );
    }
}
