//! Where the API key comes from.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::header::HeaderValue;
use tokio::sync::Mutex;

use crate::Error;

type Callback = dyn Fn() -> BoxFuture<'static, Result<String, Box<dyn std::error::Error + Send + Sync>>>
    + Send
    + Sync;

/// A fixed key, or a callback that is called for one, and again after a 401.
#[derive(Clone)]
pub(crate) enum KeySource {
    /// There is no key; only public calls work.
    Missing,
    Fixed(HeaderValue),
    Callback(Arc<Callback>, Arc<Mutex<Option<HeaderValue>>>),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no key",
            Self::Fixed(_) => "a fixed key",
            Self::Callback(..) => "a key callback",
        })
    }
}

impl KeySource {
    pub(crate) fn fixed(key: &str) -> Result<Self, Error> {
        header(key).map(Self::Fixed)
    }

    pub(crate) fn callback(callback: Arc<Callback>) -> Self {
        Self::Callback(callback, Arc::default())
    }

    /// The `Authorization` header's value.
    pub(crate) async fn get(&self) -> Result<HeaderValue, Error> {
        match self {
            Self::Missing => Err(Error::Configuration(
                "no API key: set GRANTEX_API_KEY, or give the client one as `api_key`".into(),
            )),
            Self::Fixed(key) => Ok(key.clone()),
            Self::Callback(callback, kept) => {
                let mut kept = kept.lock().await;
                if let Some(key) = &*kept {
                    return Ok(key.clone());
                }
                let key = header(&callback().await.map_err(Error::KeyCallback)?)?;
                *kept = Some(key.clone());
                Ok(key)
            }
        }
    }

    /// Forgets `refused`, so that the callback is called again; `false` where there is none.
    pub(crate) async fn renew(&self, refused: &HeaderValue) -> bool {
        let Self::Callback(_, kept) = self else { return false };
        let mut kept = kept.lock().await;
        // Another call may have renewed it already.
        if kept.as_ref() == Some(refused) {
            *kept = None;
        }
        true
    }
}

fn header(key: &str) -> Result<HeaderValue, Error> {
    let usable = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::from_str(&format!("Bearer {key}")).ok().filter(|_| usable);
    let mut value = value.ok_or_else(|| {
        Error::Configuration(
            "the API key is empty or contains a character that no API key has: copy it again"
                .into(),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
