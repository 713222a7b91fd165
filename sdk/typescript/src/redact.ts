/** What stands for a secret. */
const HIDDEN = '***';

/**
 * A text without the secrets of the URLs in it: user and password, and the query. Whatever stands
 * between `://` and the last `@` of the same word is a secret, so that one with a `/` or an `@` in
 * it does not show.
 */
export function redacted(text: string): string {
  return text.replace(/:\/\/[^\s"<>]+/g, (url) => `://${redact(url.slice(3))}`);
}

/** One URL without its secrets, also where it lacks its scheme or is no URL. */
export function redactedUrl(url: string): string {
  const start = url.indexOf('://');
  return start < 0 ? redact(url) : `${url.slice(0, start)}://${redact(url.slice(start + 3))}`;
}

function redact(url: string): string {
  const at = url.lastIndexOf('@');
  // An `@` of the path or the query, where the host came before, is none of credentials.
  const hasCredentials = at >= 0 && !/^(\[[^\]/?]*\]|[^:/?]+)[/?]/.test(url.slice(0, at));
  const shown = hasCredentials ? `${HIDDEN}@${url.slice(at + 1)}` : url;
  return shown.replace(/\?.+/s, `?${HIDDEN}`);
}
