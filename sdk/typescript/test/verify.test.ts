import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { InvalidTokenError, TokenVerifier } from '../src/index.js';

const HOUR_MS = 3_600_000;

test('an outage of less than a day stops no verification', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k' };
  let fetches = 0;
  let isDown = false;
  const server = createServer((_, response) => {
    fetches += 1;
    response.writeHead(isDown ? 503 : 200, { 'content-type': 'application/json' });
    response.end(isDown ? '{}' : JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const claims = {
    iss: 'i',
    sub: 's',
    agt: 'a',
    dev: 'dev_x',
    grnt: 'g',
    jti: 'j',
    scp: [],
    iat: 1,
  };
  const signed = `${encode({ alg: 'RS256', typ: 'JWT', kid: 'k' })}.${encode({ ...claims, exp: 9_999_999_999 })}`;
  const token = `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
  const verifier = new TokenVerifier({
    baseUrl: `http://127.0.0.1:${port}`,
    developerId: 'dev_x',
    maxRetries: 0,
  });
  const realNow = Date.now;
  let ahead = 0;
  Date.now = () => realNow() + ahead;
  try {
    await verifier.verify(token);
    isDown = true;
    ahead += 2 * HOUR_MS;
    await verifier.verify(token);
    await verifier.verify(token);
    assert.equal(fetches, 2, 'a failed fetch is not repeated by the next call');
    ahead += 23 * HOUR_MS;
    await assert.rejects(verifier.verify(token), (error) => !(error instanceof InvalidTokenError));
  } finally {
    Date.now = realNow;
    server.close();
  }
});
