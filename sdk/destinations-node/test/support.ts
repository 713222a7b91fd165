import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GrantexEvent } from '@grantex/destinations';
import {
  type DeliveryOptions,
  type EventDestination,
  EventSource,
  type EventSourceOptions,
} from '@grantex/destinations';

const TARGET = resolve(__dirname, '../../../target/debug');

/** From before everything that a test does. */
export const LONG_AGO = '2020-01-01T00:00:00Z';

/** Short waits, so that a test of failures is short. */
export const QUICK: DeliveryOptions = { flushIntervalMs: 20, retryBaseMs: 5, retryCapMs: 50 };

/** `grantex serve` as a process, with a developer of its own. */
export class Service {
  private constructor(
    private readonly process: ChildProcess,
    private readonly folder: string,
    readonly url: string,
    readonly apiKey: string,
    private readonly agentId: string,
  ) {}

  static async start(): Promise<Service> {
    const folder = temporary();
    const options = ['--listen', '127.0.0.1:0', '--data-dir', folder, '--rate-limit', '0'];
    const log = ['--log', 'warn,grantex=info', '--log-format', 'json'];
    const child = spawn(join(TARGET, 'grantex'), ['serve', ...options, ...log], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    for await (const line of createInterface(child.stderr)) {
      const { address } = JSON.parse(line);
      if (address === undefined) continue;
      child.stderr.resume();
      const url = `http://${address}`;
      const { apiKey } = await post(`${url}/v1/signup`, '', { name: 'Tests', mode: 'sandbox' });
      const { agentId } = await post(`${url}/v1/agents`, apiKey, { name: 'Agent' });
      return new Service(child, folder, url, apiKey, agentId);
    }
    throw new Error('the service ended');
  }

  /** Makes so many grants, two events each; gives the ids of all events there are. */
  async grants(count: number): Promise<string[]> {
    for (let n = 0; n < count; n++) {
      const ask = { agentId: this.agentId, principalId: 'user-123', scopes: ['calendar:read'] };
      const { code } = await post(`${this.url}/v1/authorize`, this.apiKey, ask);
      await post(`${this.url}/v1/token`, this.apiKey, { agentId: this.agentId, code });
    }
    return this.log();
  }

  async log(): Promise<string[]> {
    const headers = { authorization: `Bearer ${this.apiKey}` };
    const page = await fetch(`${this.url}/v1/events?limit=1000`, { headers });
    const { events } = (await page.json()) as { events: GrantexEvent[] };
    return events.map(({ id }) => id);
  }

  post(path: string, body: object): Promise<Answer> {
    return post(this.url + path, this.apiKey, body);
  }

  /** A source that begins at the beginning. */
  source(options: Partial<EventSourceOptions> = {}): EventSource {
    const { url, apiKey } = this;
    return new EventSource({ url, apiKey, since: LONG_AGO, onLog: () => {}, ...options });
  }

  async end(): Promise<void> {
    this.process.kill('SIGKILL');
    await once(this.process, 'exit');
    rmSync(this.folder, { recursive: true });
  }
}

/** What the calls answer with; each with some of it. */
interface Answer {
  apiKey: string;
  agentId: string;
  code: string;
}

async function post(url: string, key: string, body: object): Promise<Answer> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${url}: ${await answer.text()}`);
  return (await answer.json()) as Answer;
}

/** A service with so many stored events, and nothing else to do. */
export async function filled(
  events: number,
): Promise<{ url: string; apiKey: string; end: () => void }> {
  const arguments_ = ['--binary', join(TARGET, 'grantex'), 'filled', String(events)];
  const child = spawn(join(TARGET, 'grantex-bench'), arguments_, {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith('{')) return { ...JSON.parse(line), end: () => child.stdin.end() };
  }
  throw new Error('it ended');
}

/** A destination that remembers the ids of what it took. */
export class Memory implements EventDestination {
  readonly ids: string[] = [];
  readonly batches: number[] = [];
  isClosed = false;

  constructor(readonly name = 'memory') {}

  async send(events: GrantexEvent[]): Promise<void> {
    this.ids.push(...events.map(({ id }) => id));
    this.batches.push(events.length);
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

/** An empty folder that the test process removes at its end. */
export function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'grantex-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Waits for a condition. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`it never came: ${what}`);
    await sleep(5);
  }
}

/** The native threads of all sources in this process. */
export function nativeThreads(): number {
  const names = readdirSync('/proc/self/task').map((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8');
    } catch {
      // It has ended since the folder was read.
      return '';
    }
  });
  return names.filter((name) => name === 'grantex\n').length;
}
