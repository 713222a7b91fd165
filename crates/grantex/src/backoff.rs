//! The wait before the next try.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Exponential with full jitter: a random part of `base`, doubled for each failed attempt before,
/// at most `max`. So many clients that lost one service do not all return at the same moment.
#[must_use]
pub fn delay(attempt: u32, base: Duration, max: Duration, random: f64) -> Duration {
    let factor = 1_u32.checked_shl(attempt.min(31)).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(max).mul_f64(random.clamp(0.0, 1.0))
}

/// A number in `0..1`.
#[must_use]
pub fn random() -> f64 {
    // 32 bits are finer than any timer. Without entropy: no jitter, the longest wait.
    getrandom::u32().map_or(1.0, |bits| f64::from(bits) / 4_294_967_296.0)
}

/// The wait of `Retry-After`, which has seconds or a date.
#[expect(clippy::disallowed_methods, reason = "a date in an answer counts from now")]
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}
