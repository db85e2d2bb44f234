// A file that holds room on the disk and can be given up, so that deletes and the collector work on a full one.
import { open, rm, stat } from 'node:fs/promises';

const chunk = Buffer.alloc(1 << 20, 0x5a);

export interface BallastFile {
  /** Frees the room and gives its bytes; 0 when there was none left. */
  release(): Promise<number>;
  /** Takes the room again; false where it does not fit: that is left for the next time. */
  refill(): Promise<boolean>;
}

/** The ballast at `path`, of `size` bytes. Takes nothing yet: call refill. */
export function ballastFile(path: string, size: number): BallastFile {
  return {
    release: async () => {
      const held = await sizeOf(path);
      await rm(path, { force: true });
      return held;
    },
    refill: async () => {
      if ((await sizeOf(path)) >= size) return true;
      // Written, not only sized: a sparse file holds no room.
      const file = await open(path, 'w', 0o600);
      try {
        for (let written = 0; written < size; written += chunk.length) {
          await file.write(chunk, 0, Math.min(chunk.length, size - written));
        }
        await file.sync();
        return true;
      } catch (error) {
        await rm(path, { force: true });
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        return false;
      } finally {
        await file.close();
      }
    },
  };
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
