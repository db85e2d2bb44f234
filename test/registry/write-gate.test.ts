// The write gate where the disk is full: the room of the ballast is for deletes, and not for content.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WriteGate } from '../../src/registry/writes.ts';
import type { BlobStore } from '../../src/storage/blob-store.ts';
import { DiskFullError } from '../../src/storage/faults.ts';

const ballastBytes = 100;

/** A disk of which the test says how much is free, with a ballast that takes part of it. */
function makeDisk(freeBytes: number) {
  const disk = { free: freeBytes, ballast: ballastBytes };
  const space = async () => ({
    freeBytes: disk.free,
    totalBytes: 1000,
    freeInodes: undefined,
    totalInodes: undefined,
  });
  const ballast = {
    release: async () => {
      const freed = disk.ballast;
      disk.free += freed;
      disk.ballast = 0;
      return freed;
    },
    refill: async () => {
      if (disk.ballast === 0 && disk.free < ballastBytes) return false;
      disk.free -= ballastBytes - disk.ballast;
      disk.ballast = ballastBytes;
      return true;
    },
  };
  const limits = {
    readOnly: false,
    delete: true,
    keepFree: { share: 1, bytes: 10 },
    keepFreeInodes: 0,
  };
  return { disk, gate: new WriteGate({ space } as unknown as BlobStore, ballast, limits) };
}

test('a delete that finds no room gets that of the ballast, and pushes stay refused until it is taken back', async () => {
  const { disk, gate } = makeDisk(0);
  let tries = 0;
  const change = async () => {
    tries += 1;
    if (disk.free === 0) throw new DiskFullError('full');
    return 'done';
  };
  assert.equal(await gate.withBallast(change), 'done');
  assert.deepEqual([tries, disk.free, disk.ballast], [2, ballastBytes, 0]);
  assert.equal(await gate.state(), 'refused, disk');
  await assert.rejects(gate.admitContent(), { status: 507 });
  await gate.refillBallast();
  assert.equal(disk.ballast, 0, 'there is no room for it yet');
  // Somebody else took that room: nothing is left to give up.
  disk.free = 0;
  await assert.rejects(gate.withBallast(change), DiskFullError);
});

test('pushes are accepted, and the ballast is taken back, when there is room for both', async () => {
  const { disk, gate } = makeDisk(0);
  const change = async () => {
    if (disk.free === 0) throw new DiskFullError('full');
  };
  await gate.withBallast(change);
  disk.free = ballastBytes + 10;
  await gate.admitContent();
  await gate.refillBallast();
  assert.deepEqual([disk.free, disk.ballast], [10, ballastBytes]);
  await gate.admitContent();
});

test('of two deletes that find no room at the same moment, both get that of the ballast', async () => {
  const { disk, gate } = makeDisk(0);
  const change = async () => {
    const full = disk.free === 0;
    await new Promise((resolve) => setImmediate(resolve));
    if (full) throw new DiskFullError('full');
    return 'done';
  };
  assert.deepEqual(await Promise.all([gate.withBallast(change), gate.withBallast(change)]), ['done', 'done']);
  assert.equal(disk.ballast, 0);
});
