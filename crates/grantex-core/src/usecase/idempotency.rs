//! Doing a thing once, however often it is asked for.

use std::sync::Arc;

use grantex_types::{DeveloperId, ErrorCode, Lifetime};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{KeptAnswer, Need, Tx};
use crate::{Error, Result, StoreError};

/// How long an answer is kept.
pub const KEPT_FOR: Lifetime = Lifetime::from_seconds(24 * 3600);

/// What a client sends to have a request done once.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// The route it is used on: the same text on two routes is two keys.
    pub route: &'static str,
    /// The client's own text, 1 to 255 characters.
    pub key: Arc<str>,
    /// Hash of the request body.
    pub body_hash: [u8; 32],
}

/// What [`once`] reads by key.
pub fn need(key: Option<&IdempotencyKey>) -> Option<Need> {
    key.map(|key| Need::Answer { route: key.route, key: Arc::clone(&key.key) })
}

/// Runs `work`, unless the same key had success within [`KEPT_FOR`]: then its first outcome is
/// returned again. The outcome is kept in the transaction of the work itself, so that a twin that
/// arrives at the same time finds it, at the latest when it runs again. Failures are not kept.
///
/// `T` must hold no secret: tokens are signed again, and other secrets derived again, from it.
pub fn once<T, F>(
    tx: &mut dyn Tx,
    developer: DeveloperId,
    key: Option<&IdempotencyKey>,
    work: F,
) -> Result<T>
where
    T: Serialize + DeserializeOwned,
    F: FnOnce(&mut dyn Tx) -> Result<T>,
{
    let Some(key) = key else { return work(tx) };
    let before = tx.kept_answer(developer, key.route, &key.key)?;
    if let Some(kept) = &before
        && kept.created_at.plus(KEPT_FOR) > tx.now()
    {
        if kept.body_hash != key.body_hash {
            return Err(Error::refused(
                ErrorCode::Conflict,
                "this Idempotency-Key was used with a different body; use a new key for a new \
                 request",
            ));
        }
        return serde_json::from_slice(&kept.outcome)
            .map_err(|error| StoreError::Internal(format!("kept answer: {error}")).into());
    }
    let outcome = work(tx)?;
    let answer = KeptAnswer {
        body_hash: key.body_hash,
        outcome: serde_json::to_vec(&outcome)
            .map_err(|error| StoreError::Internal(format!("kept answer: {error}")))?,
        created_at: tx.now(),
    };
    tx.keep_answer(developer, key.route, &key.key, &answer, before.as_ref())?;
    Ok(outcome)
}
