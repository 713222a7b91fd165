//! Whether the keys of a ring are the ones that the database depends on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use grantex_core::env::Clock;
use grantex_core::store::{self, Needs, QueryKind, Read, Scope, Store, StoreResult};

use super::key_ring::{KeyFileError, KeyRing, MASTER_KEY_FILE, signing_name};
use super::secrets::Secrets;
use super::signing::{self, SigningKeys};

/// What to do if key files are missing, or are not the ones that the database depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKeys {
    /// Do not start.
    Refuse,
    /// Use the files that exist, and create the others.
    Accept,
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read or created.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Files are missing, or are not the ones that the database depends on.
    #[error(
        "{}. Restore these files from a backup of this data directory (`grantex backup` includes \
         them), with mode 600. To continue with other keys, start once with --accept-new-keys: \
         then {}",
        list(.0, |wrong| format!("{} {}", wrong.path.display(), wrong.what)),
        list(.0, |wrong| wrong.consequence.to_owned())
    )]
    Wrong(Vec<WrongKey>),
    /// The database cannot be read.
    #[error("the keys cannot be compared with the database: {0}")]
    Store(#[from] grantex_core::Error),
}

/// A key file that is not the one that the database depends on.
#[derive(Debug, Clone)]
pub struct WrongKey {
    path: PathBuf,
    what: &'static str,
    /// What becomes invalid without it.
    consequence: &'static str,
}

impl WrongKey {
    const MISSING: &'static str = "is missing, and the database depends on it";
    const ANOTHER: &'static str = "is not the key that the database depends on";

    fn master(ring: &dyn KeyRing, what: &'static str) -> Self {
        let consequence = "codes, refresh tokens, stream tickets and principals' sessions issued \
            so far become invalid, and answers repeated for an Idempotency-Key have different \
            secrets";
        Self { path: ring.locate(MASTER_KEY_FILE), what, consequence }
    }

    fn signing(ring: &dyn KeyRing, kid: &str, what: &'static str) -> Self {
        let consequence = "the grant tokens that it signed become invalid";
        Self { path: ring.locate(&signing_name(kid)), what, consequence }
    }
}

/// A text of each, without repetitions.
fn list(wrong: &[WrongKey], text: impl Fn(&WrongKey) -> String) -> String {
    let mut texts: Vec<String> = wrong.iter().map(text).collect();
    texts.dedup();
    texts.join("; ")
}

/// The keys that the database depends on.
#[derive(Debug)]
struct Expected {
    master: Option<Vec<u8>>,
    needs_master: bool,
    /// The needed signing keys, by kid. The fingerprint of a key that was created after the last
    /// start is not known.
    signing: BTreeMap<String, Option<Vec<u8>>>,
}

impl Expected {
    fn read(store: &dyn Read) -> StoreResult<Self> {
        let mut signing = BTreeMap::new();
        for kid in store.kids_needed(store.now())? {
            let fingerprint = store.key_fingerprint(&signing_name(&kid))?;
            signing.insert(kid, fingerprint);
        }
        let master = store.key_fingerprint(MASTER_KEY_FILE)?;
        let needs_master = master.is_some() || store.holds_derived_secrets()?;
        Ok(Self { master, needs_master, signing })
    }
}

/// The fingerprints of the key files that exist.
struct Found {
    master: Option<Vec<u8>>,
    signing: BTreeMap<String, Vec<u8>>,
}

impl Found {
    fn read(ring: &dyn KeyRing) -> Result<Self, KeyFileError> {
        let master = ring.master_key()?.map(|key| Secrets::new(&key).fingerprint());
        Ok(Self { master, signing: signing::fingerprints(ring)? })
    }

    fn wrong(&self, expected: &Expected, ring: &dyn KeyRing) -> Vec<WrongKey> {
        let mut wrong = Vec::new();
        match (&self.master, &expected.master) {
            (None, _) if expected.needs_master => {
                wrong.push(WrongKey::master(ring, WrongKey::MISSING));
            }
            (Some(found), Some(master)) if found != master => {
                wrong.push(WrongKey::master(ring, WrongKey::ANOTHER));
            }
            _ => {}
        }
        for (kid, fingerprint) in &expected.signing {
            match (self.signing.get(kid), fingerprint) {
                (None, _) => wrong.push(WrongKey::signing(ring, kid, WrongKey::MISSING)),
                (Some(found), Some(fingerprint)) if found != fingerprint => {
                    wrong.push(WrongKey::signing(ring, kid, WrongKey::ANOTHER));
                }
                _ => {}
            }
        }
        wrong
    }
}

/// The keys of a ring that are not the ones that the database depends on, each with what is wrong.
pub fn wrong_keys(store: &dyn Read, ring: &dyn KeyRing) -> Result<Vec<String>, KeyError> {
    let expected = Expected::read(store).map_err(grantex_core::Error::from)?;
    let wrong = Found::read(ring)?.wrong(&expected, ring);
    Ok(wrong.iter().map(|wrong| format!("{} {}", wrong.path.display(), wrong.what)).collect())
}

/// Reads the keys of a ring, or creates them where the database depends on none. Stores their
/// fingerprints in the database.
pub async fn load_keys(
    store: &dyn Store,
    ring: Arc<dyn KeyRing>,
    clock: &dyn Clock,
    new_keys: NewKeys,
) -> Result<(Secrets, SigningKeys), KeyError> {
    let expected =
        store::read(store, Scope::Global, QueryKind::Point, |store| Ok(Expected::read(store)?))
            .await?;
    let found = Found::read(ring.as_ref())?;
    let wrong = found.wrong(&expected, ring.as_ref());
    if new_keys == NewKeys::Refuse && !wrong.is_empty() {
        return Err(KeyError::Wrong(wrong));
    }
    for WrongKey { path, what, consequence } in &wrong {
        tracing::warn!(path = %path.display(), "the key {what}; the service continues without it \
            because of --accept-new-keys: {consequence}");
    }
    let secrets = Secrets::load(ring.as_ref())?;
    let signing = SigningKeys::load(Arc::clone(&ring), clock)?;

    let found = Found {
        master: Some(secrets.fingerprint()),
        signing: signing::fingerprints(ring.as_ref())?,
    };
    let gone: Vec<String> =
        expected.signing.keys().filter(|kid| !found.signing.contains_key(*kid)).cloned().collect();
    let known = |kid: &String, print: &Vec<u8>| {
        expected.signing.get(kid).and_then(Option::as_ref) == Some(print)
    };
    let mut fresh: Vec<(String, Vec<u8>)> = found
        .signing
        .into_iter()
        .filter(|(kid, print)| expected.signing.contains_key(kid) && !known(kid, print))
        .map(|(kid, print)| (signing_name(&kid), print))
        .collect();
    if found.master != expected.master {
        fresh.extend(found.master.map(|print| (MASTER_KEY_FILE.to_owned(), print)));
    }
    if !fresh.is_empty() || !gone.is_empty() {
        let remember =
            store::write(store, Scope::Global, Needs::NONE, "remember_keys", move |tx| {
                for (name, fingerprint) in &fresh {
                    tx.put_key_fingerprint(name, fingerprint)?;
                }
                for kid in &gone {
                    tx.forget_signing_key(kid)?;
                }
                Ok(())
            });
        remember.await?;
    }
    Ok((secrets, signing))
}
