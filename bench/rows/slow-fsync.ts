// Rows of Berth alone: how much later manifests are answered while eight clients push and every fsync takes 3 ms more.
// strace slows the calls down; with --seccomp-bpf it stops the server at fsync and fdatasync only.
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildImage, pushImage } from '../clients/images.ts';
import type { PushOutcome } from '../clients/push.ts';
import { Connection } from '../clients/wire.ts';
import type { Row, Sample, Settings, Side, Suite } from '../row.ts';
import type { Server } from '../servers.ts';
import { findTool, runClient } from '../tools.ts';
import { runWrk } from '../wrk.ts';

const delayMicroseconds = 3000;
const pullers = 16;
const pushers = 8;

function tracer(folder: string): string[] {
  const calls = 'fsync,fdatasync';
  return [
    findTool('strace'),
    '-f',
    '--seccomp-bpf',
    '-qq',
    '-o',
    join(folder, 'trace'),
    '-e',
    `trace=${calls}`,
    '-e',
    `inject=${calls}:delay_exit=${delayMicroseconds}`,
  ];
}

async function measureUnderPushes(server: Server, settings: Settings, round: number): Promise<number> {
  const seconds = settings.seconds + 2;
  const orders = {
    base: server.base,
    salt: `slow-${round}`,
    clients: pushers,
    connectionsPerClient: 1,
    seconds,
  };
  const pushing = runClient<PushOutcome>('push', orders);
  const { p99Milliseconds } = await runWrk(
    `${server.base}/v2/bench/app/manifests/latest`,
    pullers,
    settings.seconds,
  );
  await pushing;
  return p99Milliseconds;
}

async function measure(
  side: Side,
  settings: Settings,
  round: number,
): Promise<{ quiet: number; busy: number }> {
  const folder = join(side.folder, 'slow');
  mkdirSync(folder, { recursive: true });
  const server = await side.contender.launch(folder, tracer(folder));
  try {
    const connection = await Connection.open(server.base);
    await pushImage([connection], 'bench/app', 'latest', buildImage('slow', 7, randomBytes(1 << 20)));
    connection.close();
    const url = `${server.base}/v2/bench/app/manifests/latest`;
    await runWrk(url, pullers, 1);
    const quiet = (await runWrk(url, pullers, settings.seconds)).p99Milliseconds;
    return { quiet, busy: await measureUnderPushes(server, settings, round) };
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

// One measurement fills all three rows of a round.
const measured = new Map<number, Promise<{ quiet: number; busy: number }>>();

function rowFor(id: string, title: string, pick: (both: { quiet: number; busy: number }) => number): Row {
  return {
    id,
    title,
    unit: 'ms',
    better: 'less',
    berthOnly: true,
    async measure(side, settings, round): Promise<Sample> {
      const both = measured.get(round) ?? measure(side, settings, round);
      measured.set(round, both);
      return { value: pick(await both) };
    },
  };
}

/** p99 of manifest GET over 16 connections, quiet and beside 8 pushers, with every fsync 3 ms slower. */
export const slowFsync: Suite = {
  id: 'slow-fsync',
  sharedServers: false,
  rows: [
    rowFor('slow-fsync-quiet', 'p99 of manifest GET, slow fsync, quiet', (both) => both.quiet),
    rowFor('slow-fsync-pushers', 'p99 of manifest GET, slow fsync, 8 pushers', (both) => both.busy),
    {
      ...rowFor('slow-fsync-ratio', 'the second over the first', (both) => both.busy / both.quiet),
      unit: 'times',
      target: { atMost: 2 },
    },
  ],
};
