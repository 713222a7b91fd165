//! Where keys are kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The name of the master key; in a data directory, of its file.
pub const MASTER_KEY_FILE: &str = "master.key";
/// What the names of signing keys begin with; in a data directory, the folder of their files.
pub const SIGNING_KEYS_FOLDER: &str = "signing-keys";

/// The bytes that secrets are derived from.
pub type MasterKey = [u8; 32];

/// Where key material is kept. Derived secrets, signatures and fingerprints do not depend on the
/// place.
pub trait KeyRing: Send + Sync + 'static {
    /// The master key, if there is one.
    fn master_key(&self) -> Result<Option<MasterKey>, KeyFileError>;
    /// Stores the first master key. When this returns, the key survives a crash.
    fn put_master_key(&self, key: &MasterKey) -> Result<(), KeyFileError>;
    /// The signing keys as PKCS#8, by kid. The last one signs; the others verify.
    fn signing_keys(&self) -> Result<BTreeMap<String, Vec<u8>>, KeyFileError>;
    /// Stores a signing key, which signs once the keys are read again, if its kid is the last. When
    /// this returns, the key survives a crash.
    fn add_signing_key(&self, kid: &str, pkcs8: &[u8]) -> Result<(), KeyFileError>;
    /// Where an operator finds the key with this name.
    fn locate(&self, name: &str) -> PathBuf;
}

/// A key file that cannot be read or created.
#[derive(Debug, thiserror::Error)]
#[error("the key file {path} cannot be used: {detail}")]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub detail: String,
}

impl KeyFileError {
    pub(super) fn new(path: &Path, detail: impl Into<String>) -> Self {
        Self { path: path.to_owned(), detail: detail.into() }
    }

    pub(super) fn no_key(path: &Path, error: &dyn std::fmt::Display) -> Self {
        Self::new(
            path,
            format!(
                "it has no RSA private key ({error}); restore it from a backup, or remove it: the \
                 next start reports whether it is needed"
            ),
        )
    }
}

/// The name of a signing key.
pub(super) fn signing_name(kid: &str) -> String {
    format!("{SIGNING_KEYS_FOLDER}/{kid}.pem")
}
