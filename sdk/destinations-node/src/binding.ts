import { SourceError } from './errors.js';
import type { Addon } from './native.js';

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
