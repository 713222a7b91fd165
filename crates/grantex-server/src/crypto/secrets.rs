//! Secrets that are derived from one master key, and texts that are signed with it.

use aws_lc_rs::hmac;
use grantex_types::api::authorization::CODE_PREFIX;
use grantex_types::{AuthRequestId, RefreshId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::key_ring::{KeyFileError, KeyRing, MASTER_KEY_FILE, MasterKey};
use super::{base64url, from_base64url, random};

const ULID_CHARS: usize = 26;

/// The master key. Codes and refresh tokens are derived with it from their public ids, so that no
/// database row or log holds one. Stream tickets and principals' sessions are signed with it, so
/// that they survive a restart and need no row.
pub struct Secrets {
    key: hmac::Key,
}

impl Secrets {
    /// Reads the master key, or creates it.
    pub fn load(ring: &dyn KeyRing) -> Result<Self, KeyFileError> {
        if let Some(key) = ring.master_key()? {
            return Ok(Self::new(&key));
        }
        let fresh = random();
        ring.put_master_key(&fresh)?;
        Ok(Self::new(&fresh))
    }

    /// The secrets of this key.
    pub(super) fn new(key: &MasterKey) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The key's fingerprint. It reveals nothing of the key.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        self.mac("fingerprint", MASTER_KEY_FILE).into_bytes()
    }

    fn mac(&self, purpose: &str, message: &str) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(message.as_bytes());
        base64url(context.sign().as_ref())
    }

    fn mac_is(&self, purpose: &str, message: &str, mac: &str) -> bool {
        let expected = self.mac(purpose, message);
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), mac.as_bytes())
            .is_ok()
    }

    /// The code of an approved authorization request.
    pub fn code(&self, id: AuthRequestId) -> String {
        self.derive(CODE_PREFIX, AuthRequestId::PREFIX, &id.to_string())
    }

    /// The request that a code belongs to, if this service made the code.
    pub fn read_code(&self, code: &str) -> Option<AuthRequestId> {
        self.read_derived(CODE_PREFIX, AuthRequestId::PREFIX, code)?.parse().ok()
    }

    /// The refresh token with this public id.
    pub fn refresh_token(&self, id: RefreshId) -> String {
        self.derive("gxr_", RefreshId::PREFIX, &id.to_string())
    }

    /// The public id of a refresh token, if this service made it.
    pub fn read_refresh_token(&self, token: &str) -> Option<RefreshId> {
        self.read_derived("gxr_", RefreshId::PREFIX, token)?.parse().ok()
    }

    /// The token of a form on a page. It is bound to this subject.
    pub fn form_token(&self, purpose: &str, subject: &str) -> String {
        self.mac(purpose, subject)
    }

    /// Whether a form's token is the one for this subject.
    pub fn form_token_is(&self, purpose: &str, subject: &str, token: &str) -> bool {
        self.mac_is(purpose, subject, token)
    }

    fn derive(&self, prefix: &str, id_prefix: &str, id: &str) -> String {
        let ulid = id.strip_prefix(id_prefix).unwrap_or(id);
        format!("{prefix}{ulid}{}", self.mac(prefix, id))
    }

    fn read_derived(&self, prefix: &str, id_prefix: &str, secret: &str) -> Option<String> {
        let (ulid, mac) = secret.strip_prefix(prefix)?.split_at_checked(ULID_CHARS)?;
        let id = format!("{id_prefix}{ulid}");
        self.mac_is(prefix, &id, mac).then_some(id)
    }

    /// Signs a text that carries `content` and expires at `expires_at`. `prefix` names its purpose.
    pub fn sign<T: Serialize>(&self, prefix: &str, content: T, expires_at: Timestamp) -> String {
        let payload = serde_json::to_vec(&Signed { exp: expires_at, content }).unwrap_or_default();
        let payload = base64url(&payload);
        let mac = self.mac(prefix, &payload);
        format!("{prefix}{payload}.{mac}")
    }

    /// What a signed text carries, if its signature is valid and it has not expired.
    pub fn read_signed<T: DeserializeOwned>(
        &self,
        prefix: &str,
        text: &str,
        now: Timestamp,
    ) -> Option<T> {
        self.read_signed_until(prefix, text, now).map(|(content, _)| content)
    }

    /// As [`read_signed`](Self::read_signed), with the time when it expires.
    pub fn read_signed_until<T: DeserializeOwned>(
        &self,
        prefix: &str,
        text: &str,
        now: Timestamp,
    ) -> Option<(T, Timestamp)> {
        let (payload, mac) = text.strip_prefix(prefix)?.split_once('.')?;
        if !self.mac_is(prefix, payload, mac) {
            return None;
        }
        let signed: Signed<T> = serde_json::from_slice(&from_base64url(payload)?).ok()?;
        (signed.exp > now).then_some((signed.content, signed.exp))
    }
}

#[derive(Serialize, Deserialize)]
struct Signed<T> {
    exp: Timestamp,
    #[serde(rename = "c")]
    content: T,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyFolder;

    #[test]
    fn derived_secrets_come_back_and_forgeries_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyFolder::new(folder.path());
        let secrets = Secrets::load(&ring).unwrap();
        let id = AuthRequestId::from_parts(1, 2);
        let code = secrets.code(id);
        assert_eq!(secrets.read_code(&code), Some(id));
        assert_eq!(
            Secrets::load(&ring).unwrap().read_code(&code),
            Some(id),
            "it survives a restart"
        );
        let refresh = secrets.refresh_token(RefreshId::from_parts(1, 2));
        assert_eq!(
            secrets.read_code(&refresh.replace("gxr_", "gxc_")),
            None,
            "one purpose is not another"
        );
        for forged in
            ["", "gxc_", &code[..code.len() - 1], &code.replace("gxc_0", "gxc_1"), "gxc_é"]
        {
            assert_eq!(secrets.read_code(forged), None, "{forged}");
        }
    }

    #[test]
    fn signed_texts_end() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyFolder::new(folder.path());
        let secrets = Secrets::load(&ring).unwrap();
        let text = secrets.sign("gxt_", "hello".to_owned(), Timestamp::from_millis(1000));
        let read = |at| secrets.read_signed::<String>("gxt_", &text, Timestamp::from_millis(at));
        assert_eq!(read(999).as_deref(), Some("hello"));
        assert_eq!(read(1000), None);
    }
}
