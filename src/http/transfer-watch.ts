// Ends transfers that drip: a body must move at a least rate, averaged over two minutes, while the server waits for the
// client. Node's own requestTimeout would also end healthy long uploads, and Fastify's 0 lets a dripping one live for ever.
const windowSeconds = 120;
const checkEverySeconds = 5;

export interface WatchedTransfer {
  /** Bytes that the connection has moved so far. */
  readonly moved: () => number;
  /** Whether the client is what holds the transfer up at this moment: time that the server needs does not count. */
  readonly waitsForClient: () => boolean;
  /** Bytes per second that this one is to move where others wait for its end, if that is more than everybody's. */
  readonly leastRate?: number;
  /** Called when the transfer is too slow. */
  readonly abort: () => void;
}

interface Window {
  start: number;
  moved: number;
}

export class TransferWatch {
  readonly #windows = new Map<WatchedTransfer, Window>();
  readonly #slowest: number;
  readonly #timer: NodeJS.Timeout;

  /** `slowest` is in bytes per second. */
  constructor(slowest: number) {
    this.#slowest = slowest;
    this.#timer = setInterval(() => this.check(performance.now() / 1000), checkEverySeconds * 1000).unref();
  }

  /** Watches a transfer until the returned function is called. */
  watch(transfer: WatchedTransfer): () => void {
    this.#windows.set(transfer, { start: performance.now() / 1000, moved: transfer.moved() });
    return () => this.#windows.delete(transfer);
  }

  /** Judges every transfer at `now` (monotonic seconds). */
  check(now: number): void {
    for (const [transfer, window] of this.#windows) {
      const moved = transfer.moved();
      const judged = transfer.waitsForClient() && now - window.start >= windowSeconds;
      const least = Math.max(this.#slowest, transfer.leastRate ?? 0) * windowSeconds;
      if (judged && moved - window.moved < least) {
        this.#windows.delete(transfer);
        transfer.abort();
      } else if (judged || !transfer.waitsForClient()) {
        this.#windows.set(transfer, { start: now, moved });
      }
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#windows.clear();
  }
}
