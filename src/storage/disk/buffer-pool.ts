// Reusable buffers for reading blobs, shared by all responses. The more is lent out, the smaller the next buffer: a few
// readers get large ones (fewer trips to the thread pool), thousands of slow ones together stay within bounds.

const smallest = 64 * 1024;
const largest = 1024 * 1024;

export interface BufferPool {
  /**
   * Lends a buffer: at most `wanted` bytes rounded up to a size of the pool, less when much is lent out.
   * Give it back when nothing reads or writes it any more.
   */
  take(wanted: number): Buffer;
  /** Takes a buffer back for reuse. */
  give(buffer: Buffer): void;
  /** Stops counting a buffer that something may still refer to: it is left to the garbage collector. */
  forget(buffer: Buffer): void;
  /** Bytes lent out. */
  readonly lentBytes: number;
}

/** A pool that lends large buffers until about `budget` bytes are out, and keeps at most a quarter of that for reuse. */
export function createBufferPool(budget: number): BufferPool {
  const idle = new Map<number, Buffer[]>();
  let idleBytes = 0;
  let lentBytes = 0;
  return {
    take(wanted) {
      const fair = (budget - lentBytes) / 16;
      let size = smallest;
      while (size < largest && size < wanted && size * 2 <= fair) size *= 2;
      const buffer = idle.get(size)?.pop();
      lentBytes += size;
      if (buffer === undefined) return Buffer.allocUnsafeSlow(size);
      idleBytes -= size;
      return buffer;
    },
    give(buffer) {
      lentBytes -= buffer.length;
      if (idleBytes + buffer.length > budget / 4) return;
      idleBytes += buffer.length;
      const same = idle.get(buffer.length);
      if (same === undefined) idle.set(buffer.length, [buffer]);
      else same.push(buffer);
    },
    forget(buffer) {
      lentBytes -= buffer.length;
    },
    get lentBytes() {
      return lentBytes;
    },
  };
}
