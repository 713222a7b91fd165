/** Replaces a secret. */
const HIDDEN = '***';

/**
 * A text without the secrets of the URLs in it: user and password, and the query. Everything
 * between `://` and the last `@` of the same word counts as a secret, so that one with a `/` or an
 * `@` is hidden too.
 */
export function redacted(text: string): string {
  return text.replace(/:\/\/[^\s"<>]+/g, (url) => `://${redact(url.slice(3))}`);
}

/** One URL without its secrets, also where it has no scheme or is not a URL. */
export function redactedUrl(url: string): string {
  const start = url.indexOf('://');
  return start < 0 ? redact(url) : `${url.slice(0, start)}://${redact(url.slice(start + 3))}`;
}

function redact(url: string): string {
  const at = url.lastIndexOf('@');
  // An `@` in the path or the query, after the host, does not end credentials.
  const hasCredentials = at >= 0 && !/^(\[[^\]/?]*\]|[^:/?]+)[/?]/.test(url.slice(0, at));
  const shown = hasCredentials ? `${HIDDEN}@${url.slice(at + 1)}` : url;
  return shown.replace(/\?.+/s, `?${HIDDEN}`);
}
