// Log lines on their way to a destination that writes each of its chunks in a thread: many lines a chunk cost little more than one.

/** Where chunks of lines go. `flushSync` writes out what it holds and has not begun to write. */
export interface ChunkDestination {
  write(chunk: string): unknown;
  flushSync(): void;
}

/** A chunk goes on when it has so many characters, or when its first line is so old. */
const longestChunk = 32 * 1024;
const longestWaitMilliseconds = 100;

/** Gathers lines before a destination. A killed process loses those of the last 100 ms. */
export class GatheredLines {
  readonly #destination: ChunkDestination;
  readonly #atOnce: ChunkDestination;
  #chunk = '';
  #timer: NodeJS.Timeout | undefined;

  /** `atOnce` writes to the same place before it returns: at the end nobody waits for threads, and they may all be stuck. */
  constructor(destination: ChunkDestination, atOnce: ChunkDestination) {
    this.#destination = destination;
    this.#atOnce = atOnce;
  }

  write(line: string): void {
    this.#chunk += line;
    if (this.#chunk.length >= longestChunk) this.#pass(this.#destination);
    else this.#timer ??= setTimeout(() => this.#pass(this.#destination), longestWaitMilliseconds).unref();
  }

  /** Writes out everything before it returns; for the end of the process. */
  flushSync(): void {
    this.#destination.flushSync();
    this.#pass(this.#atOnce);
    this.#atOnce.flushSync();
  }

  #pass(to: ChunkDestination): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const chunk = this.#chunk;
    this.#chunk = '';
    if (chunk !== '') to.write(chunk);
  }
}
