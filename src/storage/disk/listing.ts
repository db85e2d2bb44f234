// Walks through the store's folders. Files come and go meanwhile, and what is not ours is passed over.
import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { digestAlgorithms } from '../../oci/digest.ts';
import type { StoredBlob, Upload } from '../blob-store.ts';
import { isMissing, statIfThere } from './files.ts';
import { digestIn, isLocation, isUploadId, type Layout } from './layout.ts';

/** See BlobStore.list. */
export async function* listBlobs(layout: Layout): AsyncIterable<StoredBlob> {
  for (const algorithm of digestAlgorithms) {
    for await (const folder of namesIn(join(layout.blobs, algorithm))) {
      if (!/^[a-f0-9]{2}$/.test(folder)) continue;
      for await (const name of namesIn(join(layout.blobs, algorithm, folder))) {
        const location = `${algorithm}/${folder}/${name}`;
        if (!isLocation(location)) continue;
        const stats = await statIfThere(layout.blobPath(location));
        if (!stats?.isFile()) continue;
        yield { location, digest: digestIn(location), size: stats.size, modifiedAt: stats.mtimeMs / 1000 };
      }
    }
  }
}

/** See BlobStore.listUploads. */
export async function* listUploads(
  layout: Layout,
): AsyncIterable<{ readonly upload: Upload; readonly modifiedAt: number }> {
  for await (const id of namesIn(layout.uploads)) {
    if (!isUploadId(id)) continue;
    const stats = await statIfThere(layout.uploadPath(id));
    if (stats?.isFile()) yield { upload: { id, state: '' }, modifiedAt: stats.mtimeMs / 1000 };
  }
}

async function* namesIn(path: string): AsyncIterable<string> {
  try {
    // Leaving the loop closes the folder, also when whoever iterates stops early.
    for await (const entry of await opendir(path, { bufferSize: 256 })) yield entry.name;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
