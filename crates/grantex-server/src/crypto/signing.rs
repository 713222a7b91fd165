//! The RSA keys that sign grant tokens: the newest one signs.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use grantex_core::env::{Clock, Rng};
use grantex_types::TokenId;
use grantex_types::api::tokens::Claims;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use parking_lot::RwLock;

use super::key_ring::{KeyFileError, KeyRing, SIGNING_KEYS_FOLDER, signing_name};
use super::{SystemRng, base64url, sha256};

/// The signing keys of a ring, and which of them are published.
pub struct SigningKeys {
    ring: Arc<dyn KeyRing>,
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
    /// Reads the keys, or creates the first one.
    pub fn load(ring: Arc<dyn KeyRing>, clock: &dyn Clock) -> Result<Self, KeyFileError> {
        if ring.signing_keys()?.is_empty() {
            rotate(ring.as_ref(), clock)?;
        }
        let keys = RwLock::new(Arc::new(read(ring.as_ref())?));
        let none = KeySet { kids: Vec::new(), json: "".into() };
        let signing = Self { ring, keys, published: RwLock::new(none) };
        // All keys, until the service asks the store which ones are needed, at its start.
        signing.publish(signing.kids());
        Ok(signing)
    }

    /// Reads the ring again, after [`rotate`]. Returns the key that signs now.
    pub fn reload(&self) -> Result<String, KeyFileError> {
        *self.keys.write() = Arc::new(read(self.ring.as_ref())?);
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
    /// 0.3 ms of a core.
    pub fn sign(&self, claims: &Claims, kid: &str) -> Result<String, jsonwebtoken::errors::Error> {
        let keys = Arc::clone(&self.keys.read());
        // An operator may have removed the key meanwhile: then the current key signs.
        let key =
            keys.by_kid.get_key_value(kid).or_else(|| keys.by_kid.get_key_value(&keys.current));
        let (kid, key) = key.ok_or(jsonwebtoken::errors::ErrorKind::InvalidKeyFormat)?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(kid.clone());
        // Tokens with the claims of RFC 9068 have its type; the others are unchanged.
        if claims.scope.is_some() {
            header.typ = Some("at+jwt".to_owned());
        }
        // The library's own function would read the key again for each token and check its primes,
        // which takes longer than signing.
        let head = base64url(&serde_json::to_vec(&header)?);
        let message = format!("{head}.{}", base64url(&serde_json::to_vec(claims)?));
        let mut signature = vec![0; key.pair.public_modulus_len()];
        key.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| jsonwebtoken::errors::ErrorKind::RsaFailedSigning)?;
        Ok(format!("{message}.{}", base64url(&signature)))
    }

    /// The claims of a token that one of these keys signed, with this issuer. Expired tokens are
    /// read too.
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

    /// These public keys as a JSON Web Key Set.
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

/// Creates a new key, which signs from the next [`SigningKeys::load`] or `reload` on. Tokens that
/// older keys signed stay valid. Returns the key's kid, which is above all others even if the clock
/// is behind: the last key of a ring signs.
pub fn rotate(ring: &dyn KeyRing, clock: &dyn Clock) -> Result<String, KeyFileError> {
    let newest = ring.signing_keys()?.into_keys().filter_map(|kid| token_id(&kid)).max();
    let after_newest = newest.map_or(0, |id| id.millis().saturating_add(1));
    let millis = clock.now().millis().max(after_newest);
    let kid = TokenId::from_parts(millis, SystemRng.bits()).to_string();
    let kid = kid.trim_start_matches(TokenId::PREFIX).to_owned();
    let failed =
        |_| KeyFileError::new(&ring.locate(&signing_name(&kid)), "an RSA key cannot be generated");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
    ring.add_signing_key(&kid, der.as_ref())?;
    Ok(kid)
}

/// The id that a kid was made from.
fn token_id(kid: &str) -> Option<TokenId> {
    format!("{}{kid}", TokenId::PREFIX).parse().ok()
}

/// The fingerprints of the keys of a ring, by kid: hashes of their public keys.
pub(super) fn fingerprints(ring: &dyn KeyRing) -> Result<BTreeMap<String, Vec<u8>>, KeyFileError> {
    let keys = read_all(ring)?.into_iter();
    Ok(keys.map(|(kid, key)| (kid, sha256(key.modulus.as_bytes()).to_vec())).collect())
}

fn read_all(ring: &dyn KeyRing) -> Result<BTreeMap<String, Key>, KeyFileError> {
    let keys = ring.signing_keys()?.into_iter();
    keys.map(|(kid, pkcs8)| {
        let key = Key::read(&pkcs8)
            .map_err(|error| KeyFileError::no_key(&ring.locate(&signing_name(&kid)), &error))?;
        Ok((kid, key))
    })
    .collect()
}

fn read(ring: &dyn KeyRing) -> Result<Keys, KeyFileError> {
    let by_kid = read_all(ring)?;
    let current = by_kid.keys().next_back().cloned().ok_or_else(|| {
        KeyFileError::new(&ring.locate(SIGNING_KEYS_FOLDER), "it has no signing key")
    })?;
    Ok(Keys { by_kid, current })
}

impl Key {
    fn read(pkcs8: &[u8]) -> Result<Self, Box<dyn std::error::Error>> {
        let pair = KeyPair::from_pkcs8(pkcs8)?;
        let public = pair.public_key();
        let modulus = base64url(public.modulus().big_endian_without_leading_zero());
        let exponent = base64url(public.exponent().big_endian_without_leading_zero());
        let decoding = DecodingKey::from_rsa_components(&modulus, &exponent)?;
        Ok(Self { pair, decoding, modulus, exponent })
    }
}

#[cfg(test)]
mod tests {
    use grantex_types::Timestamp;

    use super::*;
    use crate::crypto::KeyFolder;

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0)
        }
    }

    #[test]
    fn a_rotation_signs_also_when_the_clock_went_back() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Arc::new(KeyFolder::new(folder.path()));
        let keys = SigningKeys::load(Arc::clone(&ring) as _, &At(2000)).unwrap();
        let first = keys.current_kid();
        let second = rotate(ring.as_ref(), &At(1000)).unwrap();
        assert_eq!(keys.reload().unwrap(), second);
        assert_eq!((keys.current_kid(), keys.kids()), (second.clone(), vec![first, second]));
    }
}
