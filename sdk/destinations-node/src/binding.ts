import { SourceError } from './errors.js';

/**
 * The function that the native half calls: `call(kind, id, destination, payload)`. Calls with an id
 * above 0 must be completed.
 */
export type Call = (kind: string, id: number, destination: string, payload: string) => void;

/** The native half: see `native/src/lib.rs`. All options, outcomes and figures are JSON. */
export interface NativeSource {
  addBuiltin(name: string, kind: string, options: string): void;
  addCustom(name: string, hasFlush: boolean, hasClose: boolean, options: string): void;
  start(): void;
  stop(): void;
  /** Waits for its last thread, after the `ended` call. */
  join(): void;
  /**
   * This and the next two are answered by `call("answer", id, …)`, unless the source ends before.
   */
  deadLetters(id: number): void;
  redeliver(id: number, numbers: number[], waitMs: number): void;
  dropDeadLetters(id: number, numbers: number[]): void;
  /** Frees a source that was not started. */
  discard(): void;
  complete(id: number, outcome: string): void;
  stats(): string;
}

/** The addon's exports. */
export interface Addon {
  NativeSource: new (options: string, asksForKey: boolean, call: Call) => NativeSource;
}

/** The native half for this platform: from this package, or from the platform's own package. */
export function loadAddon(): Addon {
  const platform = `${process.platform}-${process.arch}${abi()}`;
  const places = [`../grantex-destinations.${platform}.node`, `@grantex/destinations-${platform}`];
  const failures: string[] = [];
  for (const place of places) {
    try {
      return require(place);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // A binary that cannot be loaded says why.
      if (code !== 'MODULE_NOT_FOUND') failures.push(message);
    }
  }
  const why =
    failures.length > 0
      ? failures.join('; ')
      : 'none is installed; build one from a clone with `npm run build:native`';
  throw new SourceError(
    'no_binary',
    `there is no binary of @grantex/destinations for ${platform}: ${why}`,
  );
}

function abi(): string {
  if (process.platform === 'win32') return '-msvc';
  if (process.platform !== 'linux') return '';
  const { report } = process;
  // The report would look up the name of every peer.
  if (report && 'excludeNetwork' in report) report.excludeNetwork = true;
  const { header } = report?.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime ? '-gnu' : '-musl';
}
