/**
 * Exponential back-off with full jitter: a random part of `base`, doubled for each failed attempt
 * before, at most `max`. So many clients that lost one service do not all return at the same
 * moment. All times in milliseconds.
 */
export function delay(attempt: number, base: number, max: number, random: number): number {
  return Math.min(base * 2 ** Math.min(attempt, 31), max) * random;
}

/** The wait of `Retry-After`, which has seconds or a date, in milliseconds. */
export function retryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after')?.trim();
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

/** Waits; ends early when `signal` is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    // A timer of 2^31 ms or more fires at once.
    const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1));
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    signal?.addEventListener('abort', done);
  });
}
