// Rows about the process itself: how long it takes to start, and the memory it holds at rest and under big uploads.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { TransferOrders, TransferOutcome } from '../clients/transfer.ts';
import { residentMemory } from '../processes.ts';
import type { Sample, Side, Suite } from '../row.ts';
import type { Server } from '../servers.ts';
import { runClient } from '../tools.ts';

const settleSeconds = 3;

/** Starts a fresh server for one measurement, and removes its store afterwards. */
async function withFreshServer(side: Side, task: (server: Server) => Promise<Sample>): Promise<Sample> {
  const folder = join(side.folder, 'fresh');
  mkdirSync(folder, { recursive: true });
  const server = await side.contender.launch(folder);
  try {
    return await task(server);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function memoryOf(server: Server): { now: number; highest: number } {
  if (server.pid === undefined)
    throw new Error('the memory of a server that the bench did not start is not known');
  return residentMemory(server.pid);
}

/** Start-up time and resident memory, each on a server of its own. */
export const processRows: Suite = {
  id: 'process',
  sharedServers: false,
  rows: [
    {
      id: 'start',
      title: 'start to the first 200 of /v2/',
      unit: 'ms',
      better: 'less',
      rounds: 5,
      measure: (side) =>
        withFreshServer(side, async (server) => ({ value: server.startMilliseconds ?? Number.NaN })),
    },
    {
      id: 'memory-idle',
      title: 'resident memory, idle',
      unit: 'MiB',
      better: 'less',
      target: { atMost: 120 },
      measure: (side) =>
        withFreshServer(side, async (server) => {
          await pause(settleSeconds * 1000);
          return { value: memoryOf(server).now };
        }),
    },
    {
      id: 'memory-uploads',
      title: 'resident memory, highest, 10 uploads of 1 GB',
      unit: 'MiB',
      better: 'less',
      target: { atMost: 250 },
      rounds: 1,
      measure: (side, settings) =>
        withFreshServer(side, async (server) => {
          const orders: TransferOrders = {
            base: server.base,
            kind: 'patch',
            repository: 'bench/big',
            bytes: settings.bigBlobBytes,
            streams: settings.parallelUploads,
          };
          await runClient<TransferOutcome>('transfer', orders);
          return { value: memoryOf(server).highest };
        }),
    },
  ],
};
