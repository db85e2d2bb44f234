// Rows of Berth alone: how much later manifests are answered while half of 100,000 manifests and 300,000 blobs are collected,
// how long that takes, and how much memory.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { fillStore } from '../collection-store.ts';
import { residentMemory } from '../processes.ts';
import { medianOf, type Row, type Sample, type Settings, type Side, type Suite } from '../row.ts';
import { runWrk } from '../wrk.ts';

const size = { manifests: 100_000, blobsPerManifest: 3, repositories: 1000 } as const;
const pullers = 4;

interface Outcome {
  readonly quiet: number;
  readonly busy: number;
  readonly seconds: number;
  readonly mebibytes: number;
}

/** A server that takes orders line by line. */
async function startOrdered(data: string) {
  const program = fileURLToPath(new URL('../collection-server.ts', import.meta.url));
  const child = spawn(process.execPath, [program, data], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the server that collects ended');
    return JSON.parse(value) as Record<string, unknown>;
  };
  const { url } = await answer();
  return {
    url: String(url),
    pid: child.pid ?? 0,
    ask(order: string): Promise<Record<string, unknown>> {
      child.stdin.write(`${order}\n`);
      return answer();
    },
    async stop(): Promise<void> {
      child.stdin.end('stop\n');
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

/** The p99 of short stretches for as long as `work` takes. */
async function pullWhile(url: string, work: Promise<unknown>): Promise<readonly Sample[]> {
  let busy = true;
  const ended = work.finally(() => {
    busy = false;
  });
  const samples: Sample[] = [];
  while (busy) {
    const { p99Milliseconds } = await runWrk(url, pullers, 2);
    // The last stretch may have been quiet for the most part.
    if (busy || samples.length === 0) samples.push({ value: p99Milliseconds });
  }
  await ended;
  return samples;
}

async function measure(side: Side, _settings: Settings): Promise<Outcome> {
  const data = join(side.folder, 'collection');
  mkdirSync(data, { recursive: true });
  await fillStore(data, size);
  const server = await startOrdered(data);
  try {
    const url = `${server.url}/v2/bench/r0/manifests/t0`;
    await runWrk(url, pullers, 2);
    const stretches: Sample[] = [];
    for (let count = 0; count < 5; count += 1)
      stretches.push({ value: (await runWrk(url, pullers, 2)).p99Milliseconds });
    const before = residentMemory(server.pid).now;
    const started = performance.now();
    const rows = await pullWhile(url, expectFreed(server.ask('rows')));
    const files = await pullWhile(url, server.ask('files'));
    return {
      quiet: medianOf(stretches) ?? 0,
      busy: medianOf([...rows, ...files]) ?? 0,
      seconds: (performance.now() - started) / 1000,
      mebibytes: Math.max(0, residentMemory(server.pid).highest - before),
    };
  } finally {
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }
}

async function expectFreed(work: Promise<Record<string, unknown>>): Promise<void> {
  const { state, report } = await work;
  const { freed } = report as { freed?: { manifests: number; blobs: number } };
  const manifests = size.manifests / 2;
  if (state !== 'done' || freed?.manifests !== manifests || freed.blobs !== manifests * size.blobsPerManifest)
    throw new Error(`the collection did something else than expected: ${JSON.stringify({ state, report })}`);
}

// One measurement fills all rows of a round.
const measured = new Map<number, Promise<Outcome>>();

function rowFor(id: string, title: string, unit: Row['unit'], pick: (outcome: Outcome) => number): Row {
  return {
    id,
    title,
    unit,
    better: 'less',
    rounds: 1,
    berthOnly: true,
    async measure(side, settings, round): Promise<Sample> {
      const outcome = measured.get(round) ?? measure(side, settings);
      measured.set(round, outcome);
      return { value: pick(await outcome) };
    },
  };
}

/** A collection over 100,000 manifests and 300,000 blobs while manifests are pulled as fast as they come. */
export const collection: Suite = {
  id: 'collection',
  sharedServers: false,
  rows: [
    rowFor('collection-quiet', 'p99 of manifest GET, quiet', 'ms', ({ quiet }) => quiet),
    rowFor('collection-busy', 'p99 of manifest GET, 300,000 blobs collected', 'ms', ({ busy }) => busy),
    {
      ...rowFor('collection-ratio', 'the second over the first', 'times', ({ busy, quiet }) => busy / quiet),
      target: { atMost: 1.5 },
    },
    rowFor('collection-time', 'time of the collection beside pulls', 'ms', ({ seconds }) => seconds * 1000),
    rowFor('collection-memory', 'memory that it added', 'MiB', ({ mebibytes }) => mebibytes),
  ],
};
