//! The RSA keys that sign grant tokens: one PEM file each, the newest one signs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grantex_core::env::{Clock, Rng};
use grantex_types::TokenId;
use grantex_types::api::tokens::Claims;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use parking_lot::RwLock;

use super::secrets::{KeyFileError, read_private, write_private};
use super::{SystemRng, base64url, sha256};

/// The folder of the keys inside the data directory.
pub const SIGNING_KEYS_FOLDER: &str = "signing-keys";
const PEM_LINE_CHARS: usize = 64;

/// The signing keys of a data directory, and which of them are published.
pub struct SigningKeys {
    folder: PathBuf,
    keys: RwLock<Arc<Keys>>,
    published: RwLock<KeySet>,
}

/// The published keys.
struct KeySet {
    kids: Vec<String>,
    json: Arc<str>,
}

struct Keys {
    /// By kid; kids are ULIDs, so the last one is the newest.
    by_kid: BTreeMap<String, Key>,
    current: String,
}

struct Key {
    pair: KeyPair,
    decoding: DecodingKey,
    modulus: String,
    exponent: String,
}

impl SigningKeys {
    /// Reads the keys, or makes the first one.
    pub fn load(data_dir: &Path, clock: &dyn Clock) -> Result<Self, KeyFileError> {
        let folder = data_dir.join(SIGNING_KEYS_FOLDER);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| KeyFileError::new(&folder, error.to_string()))?;
        if pem_files(&folder)?.is_empty() {
            rotate(data_dir, clock)?;
        }
        let keys = RwLock::new(Arc::new(read_folder(&folder)?));
        let none = KeySet { kids: Vec::new(), json: "".into() };
        let signing = Self { folder, keys, published: RwLock::new(none) };
        // All of them until the store is asked which are needed, which the service does at once.
        signing.publish(signing.kids());
        Ok(signing)
    }

    /// Reads the folder again, after [`rotate`]. Returns the key that signs now.
    pub fn reload(&self) -> Result<String, KeyFileError> {
        let fresh = read_folder(&self.folder)?;
        *self.keys.write() = Arc::new(fresh);
        // The new key is published at once, and a key that has left the set does not come back.
        let published = self.published.read().kids.clone();
        self.publish(published);
        Ok(self.current_kid())
    }

    /// Publishes these keys and the one that signs.
    pub(crate) fn publish(&self, mut kids: Vec<String>) {
        let mut published = self.published.write();
        let current = self.current_kid();
        if !kids.contains(&current) {
            kids.push(current);
        }
        let json = self.jwks(&kids).to_string().into();
        *published = KeySet { kids, json };
    }

    /// The published keys as a JSON Web Key Set.
    pub(crate) fn published(&self) -> Arc<str> {
        Arc::clone(&self.published.read().json)
    }

    /// The key that signs now.
    pub fn current_kid(&self) -> String {
        self.keys.read().current.clone()
    }

    /// All keys, oldest first.
    pub fn kids(&self) -> Vec<String> {
        self.keys.read().by_kid.keys().cloned().collect()
    }

    /// Signs with a certain key: the same claims give the same token, byte for byte. Takes about
    /// a third of a millisecond of a core.
    pub fn sign(&self, claims: &Claims, kid: &str) -> Result<String, jsonwebtoken::errors::Error> {
        let keys = Arc::clone(&self.keys.read());
        // An operator may have removed the key since: the token then names the one that signs it.
        let key =
            keys.by_kid.get_key_value(kid).or_else(|| keys.by_kid.get_key_value(&keys.current));
        let (kid, key) = key.ok_or(jsonwebtoken::errors::ErrorKind::InvalidKeyFormat)?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(kid.clone());
        // What has the claims of RFC 9068 says that it is one; the others are as they always were.
        if claims.scope.is_some() {
            header.typ = Some("at+jwt".to_owned());
        }
        // The library's own function would read and check the key's primes again for each token,
        // which takes longer than signing.
        let head = base64url(&serde_json::to_vec(&header)?);
        let message = format!("{head}.{}", base64url(&serde_json::to_vec(claims)?));
        let mut signature = vec![0; key.pair.public_modulus_len()];
        key.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| jsonwebtoken::errors::ErrorKind::RsaFailedSigning)?;
        Ok(format!("{message}.{}", base64url(&signature)))
    }

    /// The claims of a token whose signature is ours and whose issuer is `issuer`; also of one
    /// whose time is over.
    pub fn read(&self, token: &str, issuer: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let keys = Arc::clone(&self.keys.read());
        let key = keys.by_kid.get(header.kid.as_deref()?)?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_issuer(&[issuer]);
        jsonwebtoken::decode(token, &key.decoding, &validation).ok().map(|data| data.claims)
    }

    /// The public halves of these keys, as a JSON Web Key Set.
    pub fn jwks(&self, kids: &[String]) -> serde_json::Value {
        let keys = Arc::clone(&self.keys.read());
        let jwks: Vec<_> = kids
            .iter()
            .filter_map(|kid| keys.by_kid.get(kid).map(|key| (kid, key)))
            .map(|(kid, key)| {
                serde_json::json!({
                    "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": key.modulus, "e": key.exponent,
                })
            })
            .collect();
        serde_json::json!({ "keys": jwks })
    }
}

/// Makes a new key, which signs from the next [`SigningKeys::load`] or `reload` on. What the
/// older ones signed stays valid. Returns its kid.
pub fn rotate(data_dir: &Path, clock: &dyn Clock) -> Result<String, KeyFileError> {
    let folder = data_dir.join(SIGNING_KEYS_FOLDER);
    let kid = TokenId::from_parts(clock.now().millis(), SystemRng.bits()).to_string();
    let kid = kid.trim_start_matches(TokenId::PREFIX).to_owned();
    let path = folder.join(format!("{kid}.pem"));
    let failed = |_| KeyFileError::new(&path, "an RSA key cannot be generated");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
    write_private(&path, pem(der.as_ref()).as_bytes())?;
    belongs_to_its_folder(&path, &folder)?;
    Ok(kid)
}

/// A key that the service's user cannot read would keep the service from starting again.
fn belongs_to_its_folder(path: &Path, folder: &Path) -> Result<(), KeyFileError> {
    let failed = |error: std::io::Error| KeyFileError::new(path, error.to_string());
    let owner = fs::metadata(folder).map_err(failed)?.uid();
    if fs::metadata(path).map_err(failed)?.uid() == owner {
        return Ok(());
    }
    fs::remove_file(path).map_err(failed)?;
    let detail = format!(
        "its folder belongs to user {owner}, who could not read the new key; run the command as \
         that user: sudo -u '#{owner}' …"
    );
    Err(KeyFileError::new(path, detail))
}

/// What the keys of a data directory are recognized by: hashes of their public halves, by kid.
pub(super) fn fingerprints(data_dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, KeyFileError> {
    let folder = data_dir.join(SIGNING_KEYS_FOLDER);
    if !folder.exists() || pem_files(&folder)?.is_empty() {
        return Ok(BTreeMap::new());
    }
    let keys = read_folder(&folder)?.by_kid;
    Ok(keys.into_iter().map(|(kid, key)| (kid, sha256(key.modulus.as_bytes()).to_vec())).collect())
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    for (index, character) in body.chars().enumerate() {
        if index > 0 && index.is_multiple_of(PEM_LINE_CHARS) {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END PRIVATE KEY-----\n");
    text
}

fn pem_files(folder: &Path) -> Result<Vec<PathBuf>, KeyFileError> {
    let entries =
        fs::read_dir(folder).map_err(|error| KeyFileError::new(folder, error.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| KeyFileError::new(folder, error.to_string()))?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            files.push(path);
        }
    }
    Ok(files)
}

fn read_folder(folder: &Path) -> Result<Keys, KeyFileError> {
    let mut by_kid = BTreeMap::new();
    for path in pem_files(folder)? {
        let Some(kid) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else {
            continue;
        };
        by_kid.insert(kid, read_key(&path)?);
    }
    let current = by_kid.keys().next_back().cloned();
    let current = current.ok_or_else(|| KeyFileError::new(folder, "it has no signing key"))?;
    Ok(Keys { by_kid, current })
}

fn read_key(path: &Path) -> Result<Key, KeyFileError> {
    let failed = |detail: String| KeyFileError::new(path, detail);
    let no_key = |error: &dyn std::fmt::Display| {
        failed(format!(
            "it has no RSA private key ({error}); restore it from a backup, or remove it: the \
             next start reports whether it is needed"
        ))
    };
    let bytes = read_private(path).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| no_key(&error))?;
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).map_err(|error| no_key(&error))?;
    let pair = KeyPair::from_pkcs8(&der).map_err(|error| no_key(&error))?;
    let public = pair.public_key();
    let modulus = base64url(public.modulus().big_endian_without_leading_zero());
    let exponent = base64url(public.exponent().big_endian_without_leading_zero());
    let decoding = DecodingKey::from_rsa_components(&modulus, &exponent)
        .map_err(|error| failed(error.to_string()))?;
    Ok(Key { pair, decoding, modulus, exponent })
}
