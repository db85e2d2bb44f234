// Runs the contract of the blob store over every driver.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlobStore } from '../../src/storage/blob-store.ts';
import { openDiskStore } from '../../src/storage/disk/disk-store.ts';
import { describeBlobStore } from './blob-store.ts';

describeBlobStore('a folder on disk', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-blobs-'));
  const opened: BlobStore[] = [];
  const reopen = async () => {
    const store = await openDiskStore({
      folder,
      onFatal: (error) => {
        throw error;
      },
    });
    opened.push(store);
    return store;
  };
  t.after(async () => {
    for (const store of opened) await store.close();
    await rm(folder, { recursive: true });
  });
  return { store: await reopen(), reopen };
});
