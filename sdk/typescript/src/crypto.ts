/** WebCrypto: global everywhere but in Node 18, where it is a module's. */
export async function webcrypto(): Promise<Crypto> {
  if (globalThis.crypto?.subtle) return globalThis.crypto;
  // Not a literal, so that bundlers for browsers do not look for it.
  const name = 'node:crypto';
  return ((await import(name)) as { webcrypto: Crypto }).webcrypto;
}
