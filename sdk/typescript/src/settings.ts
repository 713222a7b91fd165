import { ConfigurationError } from './errors.js';
import { redactedUrl } from './redact.js';
import type { Settings } from './transport.js';

/** The public service's base URL; the option `baseUrl` or `GRANTEX_BASE_URL` set another one. */
export const DEFAULT_BASE_URL = 'https://api.grantex.dev';

/** Where the service is and how it is called. */
export interface ServiceOptions {
  /** The base URL; `GRANTEX_BASE_URL`, or {@link DEFAULT_BASE_URL}, unless given. */
  baseUrl?: string | undefined;
  /** How long one try of a call may take; 30 s unless given. Streams have `silenceTimeoutMs`. */
  timeoutMs?: number | undefined;
  /** How often a failed call is retried where that is safe; 2 unless given. */
  maxRetries?: number | undefined;
  /** The first retry's delay, doubled with each and with full jitter; 500 ms unless given. */
  retryDelayMs?: number | undefined;
  /** Another `fetch`, for proxies and tests. */
  fetch?: typeof fetch | undefined;
}

/** The transport's settings. Without a key only public calls work. */
export function settings(options: ServiceOptions, apiKey?: Settings['apiKey']): Settings {
  const baseUrl = options.baseUrl ?? (environment('GRANTEX_BASE_URL') || DEFAULT_BASE_URL);
  checkBaseUrl(baseUrl);
  return {
    baseUrl: baseUrl.replace(/\/+$/, ''),
    apiKey,
    timeoutMs: options.timeoutMs ?? 30_000,
    maxRetries: options.maxRetries ?? 2,
    retryDelayMs: options.retryDelayMs ?? 500,
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
  };
}

/** Refuses what is no base URL, and one with a secret that an error or a log would show. */
function checkBaseUrl(baseUrl: string): void {
  const shown = `the base URL ${JSON.stringify(redactedUrl(baseUrl))}`;
  let url: URL | undefined;
  try {
    url = new URL(baseUrl);
  } catch {
    // Reported below.
  }
  if (!url || !/^https?:\/\/[^/]/i.test(baseUrl)) {
    throw new ConfigurationError(`${shown} is not an http or https URL`);
  }
  if (url.username || url.password) {
    throw new ConfigurationError(
      `${shown} contains a user name or a password, which the service does not accept: remove it, and give the API key as apiKey or in GRANTEX_API_KEY`,
    );
  }
  if (/[?#]/.test(baseUrl)) {
    throw new ConfigurationError(
      `${shown} contains a query or a fragment: give only the scheme, the host and a path`,
    );
  }
}

/** A variable of the environment, where there is one. */
export function environment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name];
}
