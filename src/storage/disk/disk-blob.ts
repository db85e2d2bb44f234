// A blob file held open for reading.
import { Readable, type Writable } from 'node:stream';
import type { ByteRange } from '../../oci/range.ts';
import { type OpenBlob, ShortBlobError, SinkClosedError } from '../blob-store.ts';
import type { BufferPool } from './buffer-pool.ts';
import { closeQuietly, readAt } from './files.ts';

/** Two buffers a response: one is read into while the socket takes the other. */
const buffersInFlight = 2;

export class DiskBlob implements OpenBlob {
  readonly size: number;
  readonly #fd: number;
  readonly #pool: BufferPool;
  readonly #onClose: (blob: DiskBlob) => void;
  readonly #streams = new Set<Readable>();
  #reading = 0;
  #closing: PromiseWithResolvers<void> | undefined;

  constructor(fd: number, size: number, pool: BufferPool, onClose: (blob: DiskBlob) => void) {
    this.#fd = fd;
    this.size = size;
    this.#pool = pool;
    this.#onClose = onClose;
  }

  async writeTo(sink: Writable, range?: ByteRange): Promise<void> {
    const { start, end } = this.#bounds(range);
    const flow = new Flow(sink, this.#pool);
    try {
      let position = start;
      while (position < end) {
        await flow.room();
        const buffer = this.#pool.take(end - position);
        let bytes = 0;
        try {
          bytes = await this.#read(buffer, Math.min(buffer.length, end - position), position);
        } catch (error) {
          this.#pool.give(buffer);
          throw error;
        }
        flow.send(buffer, bytes);
        position += bytes;
      }
      await flow.drained();
    } finally {
      flow.release();
    }
  }

  stream(range?: ByteRange): Readable {
    const { start, end } = this.#bounds(range);
    let position = start;
    const stream = new Readable({
      highWaterMark: 128 * 1024,
      read: (wanted) => {
        if (position >= end) {
          stream.push(null);
          return;
        }
        // Readers keep what they get for as long as they like, so these buffers are not the pool's.
        const buffer = Buffer.allocUnsafeSlow(Math.min(wanted, end - position));
        this.#read(buffer, buffer.length, position).then(
          (bytes) => {
            position += bytes;
            stream.push(buffer.subarray(0, bytes));
          },
          (error) => stream.destroy(error),
        );
      },
      destroy: (error, done) => {
        this.#streams.delete(stream);
        done(error);
      },
    });
    this.#streams.add(stream);
    return stream;
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers();
      for (const stream of this.#streams) stream.destroy(closedError());
      this.#closeWhenIdle();
    }
    return this.#closing.promise;
  }

  /** Reads at least one byte, in the bounds of the blob. The descriptor stays open for as long as a read is under way. */
  async #read(buffer: Buffer, length: number, position: number): Promise<number> {
    if (this.#closing !== undefined) throw closedError();
    this.#reading++;
    try {
      const bytes = await readAt(this.#fd, buffer, length, position);
      if (bytes === 0) {
        throw new ShortBlobError(`the blob ends after ${position} bytes or less, ${this.size} were expected`);
      }
      return bytes;
    } finally {
      this.#reading--;
      this.#closeWhenIdle();
    }
  }

  #closeWhenIdle(): void {
    if (this.#closing === undefined || this.#reading > 0) return;
    // Nobody waits for it: the last close of a removed file frees its blocks, which takes long for a large one.
    closeQuietly(this.#fd);
    this.#onClose(this);
    this.#closing.resolve();
  }

  #bounds(range: ByteRange | undefined): { readonly start: number; readonly end: number } {
    if (range === undefined) return { start: 0, end: this.size };
    if (range.start < 0 || range.end >= this.size || range.start > range.end + 1) {
      throw new RangeError(`bytes ${range.start}-${range.end} are not in a blob of ${this.size} bytes`);
    }
    return { start: range.start, end: range.end + 1 };
  }
}

/** The buffers on their way into one sink: each goes back to the pool when the sink has called back for it. */
class Flow {
  readonly #sink: Writable;
  readonly #pool: BufferPool;
  readonly #inFlight = new Set<Buffer>();
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(sink: Writable, pool: BufferPool) {
    this.#sink = sink;
    this.#pool = pool;
    if (sink.destroyed || sink.closed || sink.writableEnded)
      this.#failure = new SinkClosedError('the reader is gone');
    sink.on('close', this.#onClose);
    sink.on('error', this.#onError);
  }

  /** Resolves when another buffer may be sent; rejects when the sink is gone. */
  async room(): Promise<void> {
    await this.#atMost(buffersInFlight - 1);
  }

  /** Resolves when the sink has taken everything. */
  async drained(): Promise<void> {
    await this.#atMost(0);
  }

  /** Hands the first `bytes` of a buffer over. */
  send(buffer: Buffer, bytes: number): void {
    if (this.#failure !== undefined) {
      this.#pool.give(buffer);
      throw this.#failure;
    }
    this.#inFlight.add(buffer);
    this.#sink.write(buffer.subarray(0, bytes), (error) => {
      if (!this.#inFlight.delete(buffer)) return;
      if (error) this.#pool.forget(buffer);
      else this.#pool.give(buffer);
      if (error) this.#fail(error);
      this.#wake?.();
    });
  }

  release(): void {
    this.#sink.off('close', this.#onClose);
    // A failing sink tells the callback first and emits 'error' afterwards: without a listener that would end the process.
    if (this.#failure === undefined) this.#sink.off('error', this.#onError);
    // The sink may still hold on to these: nobody may write into them again.
    for (const buffer of this.#inFlight) this.#pool.forget(buffer);
    this.#inFlight.clear();
  }

  async #atMost(count: number): Promise<void> {
    while (this.#failure === undefined && this.#inFlight.size > count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  readonly #onClose = (): void => this.#fail(undefined);
  readonly #onError = (error: Error): void => this.#fail(error);

  #fail(cause: Error | undefined): void {
    this.#failure ??= new SinkClosedError('the reader went away before the last byte', { cause });
    this.#wake?.();
  }
}

function closedError(): Error {
  return new Error('the blob was closed while it was read');
}
