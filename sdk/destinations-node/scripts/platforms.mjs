// The platforms that there are binaries for, laid out as napi-rs packages are: `platforms.mjs
// FOLDER` makes a package of each `.node` file in `artifacts/` below FOLDER, and has package.json
// name them as optional dependencies if there is one for every platform.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PLATFORMS = {
  'linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'linux-x64-musl': { os: ['linux'], cpu: ['x64'], libc: ['musl'] },
  'linux-arm64-musl': { os: ['linux'], cpu: ['arm64'], libc: ['musl'] },
  'darwin-x64': { os: ['darwin'], cpu: ['x64'] },
  'darwin-arm64': { os: ['darwin'], cpu: ['arm64'] },
  'win32-x64-msvc': { os: ['win32'], cpu: ['x64'] },
};

/** A platform's binary, as `src/binding.ts` looks for it. */
export const BINARY = (platform) => `grantex-destinations.${platform}.node`;

function here() {
  if (process.platform !== 'linux') return process.platform === 'win32' ? '-msvc' : '';
  return process.report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl';
}

/** The platform that this runs on. */
export const HERE_IS = `${process.platform}-${process.arch}${here()}`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const main = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const { version, description, license, engines } = main;
  const made = {};
  for (const [platform, { libc, ...where }] of Object.entries(PLATFORMS)) {
    const binary = join(root, 'artifacts', BINARY(platform));
    if (!existsSync(binary)) continue;
    const folder = join(process.argv[2], platform);
    const name = `${main.name}-${platform}`;
    const files = [BINARY(platform)];
    const about = {
      name,
      version,
      description,
      license,
      engines,
      main: files[0],
      files,
      ...where,
      libc,
    };
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(about, null, 2)}\n`);
    copyFileSync(binary, join(folder, BINARY(platform)));
    made[name] = version;
    console.log(folder);
  }
  if (Object.keys(made).length === Object.keys(PLATFORMS).length) {
    writeFileSync(
      join(root, 'package.json'),
      `${JSON.stringify({ ...main, optionalDependencies: made }, null, 2)}\n`,
    );
  }
}
