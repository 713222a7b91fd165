// Builds the addon for this platform: `build.mjs` as it is shipped, `build.mjs --debug` from what
// the workspace's tests have built anyway.
import { execFileSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BINARY, HERE_IS } from './platforms.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const isDebug = process.argv.includes('--debug');
const options = isDebug
  ? ['--workspace', '--all-features']
  : ['--profile', 'dist', '--package', 'grantex-destinations-node'];
execFileSync('cargo', ['build', '--locked', ...options], {
  cwd: join(root, 'native'),
  stdio: 'inherit',
  env: { ...process.env, ...(!isDebug && { CARGO_PROFILE_DIST_STRIP: 'symbols' }) },
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
const built = join(JSON.parse(metadata).target_directory, isDebug ? 'debug' : 'dist', library);
const binary = join(root, BINARY(HERE_IS));
copyFileSync(built, binary);
console.log(binary);
