import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Memory, nativeThreads, QUICK, Service, temporary, until } from './support.js';

const PROGRAM = join(__dirname, 'program.js');
let service: Service;
let ids: string[];

before(async () => {
  service = await Service.start();
  ids = await service.grants(3);
});
after(() => service.end());

interface Program {
  child: ChildProcess;
  said: string[];
  exit: Promise<unknown[]>;
}

function run(mode: string, stateDir = temporary()): Program {
  const child = spawn(process.execPath, [PROGRAM, mode, service.url, service.apiKey, stateDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said: string[] = [];
  createInterface(child.stdout).on('line', (line) => said.push(line));
  return { child, said, exit: once(child, 'close') };
}

/** What a source with this state gets. */
async function rest(stateDir: string): Promise<string[]> {
  const memory = new Memory('program');
  const source = service.source({ stateDir });
  source.addDestination(memory, QUICK);
  const started = source.start();
  await until('it is at the end', () => source.stats()[0]?.cursor === ids.at(-1));
  await source.stop();
  await started;
  return memory.ids;
}

test('the process ends by itself when its source has been stopped, and not before', async () => {
  const { said, exit } = run('stop');
  assert.deepEqual(await exit, [0, null]);
  assert.deepEqual(said, ['received 6', 'ended']);
});

test('a running source keeps the process alive, and signals are its own business', async () => {
  const { child, said, exit } = run('run');
  await until('it runs', () => said.length === 1);
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [null, 'SIGTERM']);
});

test('process.exit in the middle of a batch ends it, and the batch comes again', async () => {
  const stateDir = temporary();
  const { exit } = run('exit', stateDir);
  assert.deepEqual(await exit, [7, null]);
  assert.deepEqual(await rest(stateDir), ids);
});

test('kill -9 in the middle of a batch: it comes again', async () => {
  const stateDir = temporary();
  const { child, said, exit } = run('hang', stateDir);
  await until('it has a batch', () => said.length === 1);
  child.kill('SIGKILL');
  await exit;
  assert.deepEqual(await rest(stateDir), ids);
});

test('in a worker thread; and when that is terminated, nothing of it stays behind', async () => {
  const idle = nativeThreads();
  for (const mode of ['stop', 'hang', 'exit']) {
    const stateDir = temporary();
    const worker = new Worker(PROGRAM, {
      workerData: [mode, service.url, service.apiKey, stateDir],
    });
    const said: string[] = [];
    worker.on('message', (line) => said.push(line));
    if (mode === 'hang') {
      await until('it has a batch', () => said.length === 1);
      assert.ok(nativeThreads() > idle);
      await worker.terminate();
    } else {
      await once(worker, 'exit');
    }
    assert.equal(nativeThreads(), idle, mode);
    // The state is free at once, and has what was settled.
    assert.deepEqual(await rest(stateDir), mode === 'stop' ? [] : ids, mode);
  }
});
