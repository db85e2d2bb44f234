// Log lines on their way to a destination that writes each of its chunks in a thread: many lines a chunk cost little more than one.

/** Where chunks of lines go. `flushSync` writes out what it holds. */
export interface ChunkDestination {
  write(chunk: string): unknown;
  flushSync(): void;
}

/** A chunk goes on when it has so many characters, or when its first line is so old. */
const longestChunk = 32 * 1024;
const longestWaitMilliseconds = 100;

/** Gathers lines before `destination`. A killed process loses those of the last 100 ms. */
export class GatheredLines {
  readonly #destination: ChunkDestination;
  #chunk = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(destination: ChunkDestination) {
    this.#destination = destination;
  }

  write(line: string): void {
    this.#chunk += line;
    if (this.#chunk.length >= longestChunk) this.#pass();
    else this.#timer ??= setTimeout(() => this.#pass(), longestWaitMilliseconds).unref();
  }

  /** Writes out everything before it returns; for the end of the process. */
  flushSync(): void {
    this.#pass();
    this.#destination.flushSync();
  }

  #pass(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const chunk = this.#chunk;
    this.#chunk = '';
    if (chunk !== '') this.#destination.write(chunk);
  }
}
