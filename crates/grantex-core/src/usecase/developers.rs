//! Developers and their API keys.

use grantex_types::api::developers::{Mode, SignupRequest};
use grantex_types::{DeveloperId, ErrorCode, KeyId};

use super::audit::{self, Action};
use super::operators;
use super::quotas::{self, Quotas};
use crate::model::{Actor, ApiKey, Caller, Developer, KeyHash};
use crate::store::{Need, Needs, Page, Read, Tx};
use crate::{Error, Result, validate};

/// What is kept of a new key's secret.
#[derive(Debug, Clone)]
pub struct NewSecret {
    /// SHA-256 of the secret.
    pub hash: KeyHash,
    /// Its first characters.
    pub prefix: String,
}

/// Adds a developer with a first key, as `by`.
pub fn sign_up(
    tx: &mut dyn Tx,
    request: &SignupRequest,
    secret: NewSecret,
    by: Actor,
) -> Result<(Developer, ApiKey)> {
    let email = request.email.as_deref().map(validate::email).transpose()?;
    if let Some(email) = &email
        && tx.email_taken(email)?
    {
        return Err(Error::refused(
            ErrorCode::Conflict,
            "a developer with this email already exists",
        ));
    }
    let now = tx.now();
    let developer = Developer {
        developer_id: DeveloperId::from_parts(now.millis(), tx.random()),
        name: validate::name(&request.name)?,
        email,
        mode: request.mode.unwrap_or_default(),
        created_at: now,
    };
    tx.insert_developer(&developer)?;
    let key = add_key(tx, developer.developer_id, developer.mode, "default".into(), secret)?;
    audit::note(
        tx,
        developer.developer_id,
        by,
        Action::KeyCreated,
        &key.id.to_string(),
        &[("name", &key.name)],
    )?;
    Ok((developer, key))
}

/// The caller's developer.
pub fn me(store: &dyn Read, caller: &Caller) -> Result<Developer> {
    store.developer(caller.developer_id)?.ok_or_else(|| Error::not_found("developer"))
}

/// Adds a key.
pub fn create_key(
    tx: &mut dyn Tx,
    caller: &Caller,
    name: &str,
    secret: NewSecret,
    quotas: &Quotas,
) -> Result<ApiKey> {
    let name = validate::name(name)?;
    quotas::require_room_for_key(tx, caller.developer_id, quotas)?;
    let key = add_key(tx, caller.developer_id, caller.mode, name, secret)?;
    let by = Actor::api_key(caller.key_id);
    audit::note(
        tx,
        caller.developer_id,
        by,
        Action::KeyCreated,
        &key.id.to_string(),
        &[("name", &key.name)],
    )?;
    Ok(key)
}

/// The developer's keys.
pub fn list_keys(store: &dyn Read, caller: &Caller, page: Page<KeyId>) -> Result<Vec<ApiKey>> {
    Ok(store.keys(caller.developer_id, page)?)
}

/// Refuses what an API key opened that no longer works.
pub fn require_working_key(store: &dyn Read, developer: DeveloperId, key: KeyId) -> Result<()> {
    let key = store.key(developer, key)?.filter(|key| key.revoked_at.is_none());
    match key {
        Some(key) if key.is_suspended => Err(operators::suspended()),
        Some(_) => Ok(()),
        None => Err(Error::refused(ErrorCode::Unauthorized, "this API key was revoked")),
    }
}

/// What [`revoke_key`] and [`rotate_key`] read by key.
pub fn key_needs(id: KeyId) -> Needs {
    [Need::Key(id)].into()
}

/// Ends a key, also the caller's own.
pub fn revoke_key(tx: &mut dyn Tx, caller: &Caller, id: KeyId) -> Result<()> {
    let key = tx
        .key(caller.developer_id, id)?
        .filter(|key| key.revoked_at.is_none())
        .ok_or_else(|| Error::not_found("API key"))?;
    let now = tx.now();
    tx.revoke_key(&key, now)?;
    let by = Actor::api_key(caller.key_id);
    audit::note(
        tx,
        caller.developer_id,
        by,
        Action::KeyRevoked,
        &key.id.to_string(),
        &[("name", &key.name)],
    )
}

/// Puts a new key in the place of the one that makes the call.
pub fn rotate_key(tx: &mut dyn Tx, caller: &Caller, secret: NewSecret) -> Result<ApiKey> {
    let old = tx
        .key(caller.developer_id, caller.key_id)?
        .filter(|key| key.revoked_at.is_none())
        .ok_or_else(|| Error::refused(ErrorCode::Unauthorized, "this API key was revoked"))?;
    let now = tx.now();
    tx.revoke_key(&old, now)?;
    let key = add_key(tx, caller.developer_id, old.mode, old.name, secret)?;
    let by = Actor::api_key(caller.key_id);
    let replaced = old.id.to_string();
    let details = [("name", key.name.as_str()), ("replaces", &replaced)];
    audit::note(tx, caller.developer_id, by, Action::KeyRotated, &key.id.to_string(), &details)?;
    Ok(key)
}

fn add_key(
    tx: &mut dyn Tx,
    developer_id: DeveloperId,
    mode: Mode,
    name: String,
    secret: NewSecret,
) -> Result<ApiKey> {
    let now = tx.now();
    let key = ApiKey {
        id: KeyId::from_parts(now.millis(), tx.random()),
        developer_id,
        name,
        hash: secret.hash,
        prefix: secret.prefix,
        mode,
        created_at: now,
        revoked_at: None,
        is_suspended: false,
    };
    tx.insert_key(&key)?;
    Ok(key)
}
