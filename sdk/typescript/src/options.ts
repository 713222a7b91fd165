import type { EventFilter, StreamOptions, SubscribeOptions } from './event.js';
import type { HistoryParams, TicketParams } from './events.js';
import type { VerifyOptions } from './transport.js';
import type { TokenVerifierOptions } from './verify.js';

/** The names of a type's options; the compiler keeps them complete. */
type Names<Options> = Record<keyof Options, true>;

const FILTER: Names<EventFilter> = {
  eventTypes: true,
  since: true,
  agentId: true,
  principalId: true,
  grantId: true,
};
const STREAM: Names<StreamOptions> = {
  ...FILTER,
  lastEventId: true,
  signal: true,
  reconnect: true,
  reconnectDelayMs: true,
  maxReconnectDelayMs: true,
  silenceTimeoutMs: true,
  maxEventBytes: true,
  onOpen: true,
  onReconnect: true,
};
const SUBSCRIBE: Names<SubscribeOptions> = { ...STREAM, onError: true };
const HISTORY: Names<HistoryParams> = {
  ...FILTER,
  limit: true,
  after: true,
  until: true,
  before: true,
  newestFirst: true,
};
const TICKET: Names<TicketParams> = {
  expiresIn: true,
  eventTypes: true,
  agentId: true,
  principalId: true,
  grantId: true,
};
const VERIFIER: Names<TokenVerifierOptions> = {
  developerId: true,
  issuer: true,
  baseUrl: true,
  timeoutMs: true,
  maxRetries: true,
  retryDelayMs: true,
  fetch: true,
};
const OFFLINE: Names<Pick<VerifyOptions, 'audience'>> = { audience: true };
const ONLINE: Names<VerifyOptions> = {
  ...OFFLINE,
  signal: true,
  timeoutMs: true,
  maxRetries: true,
};
const KNOWN = {
  'events.stream': STREAM,
  'events.subscribe': SUBSCRIBE,
  'events.list': HISTORY,
  'events.createTicket': TICKET,
  TokenVerifier: VERIFIER,
  'TokenVerifier.verify': OFFLINE,
  'tokens.verifyOffline': OFFLINE,
  'tokens.verify': ONLINE,
  'grants.verify': ONLINE,
};

/** The wire's names, and a claim's, for options that have another one here. */
const OTHER_NAMES: Record<string, string> = {
  type: 'eventTypes',
  aud: 'audience',
  after: 'lastEventId',
  order: 'newestFirst',
};
/** Options that a constructor does not take, and the call that does. */
const ELSEWHERE: Record<string, string> = {
  'TokenVerifier apikey': 'it needs no API key',
  'TokenVerifier audience': 'give it to verify(token, { audience })',
  'TokenVerifier aud': 'give it to verify(token, { audience })',
};

/**
 * Refuses an option that a call does not have: a misspelt filter or audience would be a restriction
 * that is silently lost.
 */
export function checkOptions(call: keyof typeof KNOWN, options: object | undefined): void {
  const known = Object.keys(KNOWN[call]);
  for (const name of Object.keys(options ?? {})) {
    if (known.includes(name)) continue;
    const meant = known.find((one) => plain(one) === plain(name)) ?? OTHER_NAMES[plain(name)];
    const advice =
      meant !== undefined && known.includes(meant)
        ? `use ${JSON.stringify(meant)}`
        : (ELSEWHERE[`${call} ${plain(name)}`] ?? `its options are ${known.join(', ')}`);
    throw new TypeError(`${call} has no option ${JSON.stringify(name)}: ${advice}`);
  }
}

/** A name without what is easily mistaken: case, separators, and the plural. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[_-]/g, '').replace(/s$/, '');
}

/** The types of a filter; `undefined` for all of them. */
export function checkTypes(eventTypes: string[] | undefined): string[] | undefined {
  if (eventTypes === undefined || eventTypes === null) return undefined;
  if (!Array.isArray(eventTypes)) {
    throw new TypeError(
      `eventTypes is ${JSON.stringify(eventTypes)}: give an array, such as ['budget.exhausted']`,
    );
  }
  return eventTypes.length > 0 ? eventTypes : undefined;
}

/** A time as the service reads it. */
export function timeText(time: string | Date | undefined): string | undefined {
  return time instanceof Date ? time.toISOString() : time;
}
