// Builds the addon for this platform. Dependencies are those that other commands build, with the
// features that they have there: `build.mjs` shares those of `cargo build --release`,
// `build.mjs --debug` those of the workspace's tests. `build.mjs --dist` shares none, and optimises
// across crates as what is shipped does.
import { execFileSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BINARY, HERE_IS } from './platforms.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const ADDON = 'grantex-destinations-node';
const KINDS = {
  '--debug': { folder: 'debug', options: ['--workspace', '--all-features', '--all-targets'] },
  '--release': {
    folder: 'release',
    options: ['--release', '--package', 'grantex-cli', '--package', ADDON],
  },
  '--dist': { folder: 'dist', options: ['--profile', 'dist', '--package', ADDON] },
};
const { folder, options } = KINDS[process.argv[2] ?? '--release'];
execFileSync('cargo', ['build', '--locked', ...options], {
  cwd: join(root, 'native'),
  stdio: 'inherit',
});

const metadata = execFileSync('cargo', ['metadata', '--no-deps', '--format-version', '1'], {
  cwd: join(root, 'native'),
  maxBuffer: 64 << 20,
});
const library = {
  darwin: 'libgrantex_destinations_node.dylib',
  win32: 'grantex_destinations_node.dll',
  linux: 'libgrantex_destinations_node.so',
}[process.platform];
const built = join(JSON.parse(metadata).target_directory, folder, library);
const binary = join(root, BINARY(HERE_IS));
copyFileSync(built, binary);
console.log(binary);
