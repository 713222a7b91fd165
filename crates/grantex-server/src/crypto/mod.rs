//! Secrets: hashes, derived secrets, signed texts, and the keys that sign tokens.

mod folder;
mod key_check;
mod key_ring;
mod secrets;
mod signing;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grantex_core::env::Rng;
use grantex_types::api::developers::Mode;

pub use folder::KeyFolder;
pub use key_check::{KeyError, NewKeys, load_keys, wrong_keys};
pub use key_ring::{KeyFileError, KeyRing, MASTER_KEY_FILE, MasterKey, SIGNING_KEYS_FOLDER};
pub use secrets::Secrets;
pub use signing::{SigningKeys, rotate};

/// Characters of an API key that are stored in the clear, so that people can tell keys apart.
const SHOWN_CHARS: usize = 14;

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Base64 for URLs, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The inverse of [`base64url`].
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn bits(&self) -> u128 {
        u128::from_le_bytes(random())
    }
}

/// Fresh random bytes.
///
/// # Panics
/// If the operating system provides no randomness: no secret would be safe.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "the one place that makes random bytes; without them no secret is safe"
    )]
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// A new API key: the secret, and what is stored of it.
pub(crate) fn new_api_key(mode: Mode) -> (String, grantex_core::usecase::developers::NewSecret) {
    let secret = format!("{}{}", mode.key_prefix(), base64url(&random::<32>()));
    let prefix = secret.chars().take(SHOWN_CHARS).collect();
    let hash = sha256(secret.as_bytes());
    (secret, grantex_core::usecase::developers::NewSecret { hash, prefix })
}
