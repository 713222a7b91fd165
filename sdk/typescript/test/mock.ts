import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** The repository's root, from `build/test`. */
export const ROOT = new URL('../../../../', import.meta.url);

/** Any JSON. */
// biome-ignore lint/suspicious/noExplicitAny: what the cases hold is checked where it is used
export type Json = any;

/** A file of the conformance cases. */
export function vectors(name: string): Json {
  return JSON.parse(readFileSync(new URL(`vectors/${name}`, ROOT), 'utf8'));
}

/** The mock as a process of its own; it ends with its standard input. */
export class Mock {
  readonly base: string;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, base: string) {
    this.#process = process;
    this.base = base;
  }

  static async start(): Promise<Mock> {
    const binary = process.env.GRANTEX_MOCK ?? new URL('target/debug/grantex-mock', ROOT).pathname;
    const child = spawn(binary, [new URL('vectors', ROOT).pathname], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    return new Mock(child, line as string);
  }

  async json(path: string, body?: object): Promise<Json> {
    const init = body ? { method: 'POST', body: JSON.stringify(body) } : {};
    return (await fetch(this.base + path, init)).json();
  }

  stop(): void {
    this.#process.stdin?.end();
  }
}
