// Moves a request body into a file: gathers what arrives and writes it in large pieces, one at a time, so that the next
// piece arrives (and is hashed) while the last one is written. Pauses the body when the file is slower.
import { finished, type Readable } from 'node:stream';

/** Where the bytes go. */
export interface BodyTarget {
  /** Sees each chunk as it arrives, before it is gathered. What it throws ends the writing and drops what was gathered. */
  accept(chunk: Buffer): void;
  /** Writes at the end. Called again only after it has resolved. */
  write(chunks: readonly Buffer[]): Promise<void>;
  /** How many bytes to gather before a write. */
  gatherBytes(): number;
}

/** Chunks in one write; the kernel takes 1,024 at a time. */
const mostChunks = 1024;

export class BodyWriter {
  /**
   * Resolves when the body has ended and all of it is written. Rejects with what the body failed with, or what `stop` was
   * called with (then everything that had arrived is written), or with what the target threw (then the rest is dropped).
   * The body is left paused where it was: the caller decides whether to read it off.
   */
  readonly done: Promise<void>;
  readonly #body: Readable;
  readonly #target: BodyTarget;
  readonly #outcome = Promise.withResolvers<void>();
  readonly #flushes: (() => void)[] = [];
  #chunks: Buffer[] = [];
  #gathered = 0;
  #writing = false;
  #paused = false;
  #over = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(body: Readable, target: BodyTarget) {
    this.#body = body;
    this.#target = target;
    this.done = this.#outcome.promise;
    // Listeners of `finished` stay on purpose: an error that comes after a stop has nobody else to hear it.
    finished(body, { writable: false }, (error) => {
      if (error === null || error === undefined) this.#end(undefined);
      else this.#end({ error });
    });
    body.on('data', this.#onData);
  }

  /** Takes nothing more from the body; `done` rejects with `error` once everything that arrived is written. */
  stop(error: Error): void {
    this.#end({ error });
  }

  /** Resolves when everything that has arrived by now is written, or will never be. */
  flush(): Promise<void> {
    return new Promise((resolve) => {
      this.#flushes.push(resolve);
      this.#advance();
    });
  }

  readonly #onData = (chunk: Buffer): void => {
    try {
      this.#target.accept(chunk);
    } catch (error) {
      this.#abandon(error);
      return;
    }
    this.#chunks.push(chunk);
    this.#gathered += chunk.length;
    this.#advance();
    if (this.#writing && this.#isFull()) {
      this.#paused = true;
      this.#body.pause();
    }
  };

  #end(failure: { readonly error: unknown } | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = failure;
    this.#body.off('data', this.#onData);
    // Without a listener the stream would flow on into nothing.
    if (failure !== undefined) this.#body.pause();
    this.#advance();
  }

  #abandon(error: unknown): void {
    this.#chunks = [];
    this.#gathered = 0;
    if (this.#over) this.#failure = { error };
    this.#end({ error });
  }

  #isFull(): boolean {
    return this.#gathered >= this.#target.gatherBytes() || this.#chunks.length >= mostChunks;
  }

  /** Starts the next write if there is reason to, or finishes. */
  #advance(): void {
    if (this.#writing) return;
    if (this.#gathered > 0 && (this.#over || this.#flushes.length > 0 || this.#isFull())) {
      this.#write();
      return;
    }
    for (const resolve of this.#flushes.splice(0)) resolve();
    if (!this.#over) return;
    if (this.#failure === undefined) this.#outcome.resolve();
    else this.#outcome.reject(this.#failure.error);
  }

  #write(): void {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#gathered = 0;
    this.#writing = true;
    const written = () => {
      this.#writing = false;
      this.#advance();
    };
    this.#target.write(chunks).then(written, (error) => {
      this.#writing = false;
      this.#abandon(error);
      this.#advance();
    });
    if (this.#paused && !this.#over) {
      this.#paused = false;
      this.#body.resume();
    }
  }
}
