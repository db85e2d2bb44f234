// How many may decompress at the same time, and how many wait for that: looking into layers is to leave the processor to pulls
// and pushes. Who asks for what somebody is reading already shares it.
import { InspectionFault } from './faults.ts';

export class Slots {
  readonly #most: number;
  readonly #mostWaiting: number;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  constructor(most: number, mostWaiting: number) {
    this.#most = most;
    this.#mostWaiting = mostWaiting;
  }

  /** Waits for a slot; the function that is returned gives it back. Throws InspectionFault (busy), and the reason of `signal`. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#taken < this.#most) this.#taken += 1;
    else {
      if (this.#waiting.size >= this.#mostWaiting) {
        throw new InspectionFault(
          'busy',
          'too many images are looked into at the moment: try again in a few seconds',
        );
      }
      await this.#turn(signal);
    }
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const [next] = this.#waiting;
      // The slot goes straight to the next one.
      if (next === undefined) this.#taken -= 1;
      else next();
    };
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        this.#waiting.delete(go);
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.delete(go);
        reject(signal.reason);
      };
      this.#waiting.add(go);
      signal.addEventListener('abort', leave, { once: true });
    });
  }
}

interface Work<Result> {
  readonly result: Promise<Result>;
  readonly abort: AbortController;
  askers: number;
}

/** Work that several may ask for at once and that is done once: it ends when the last of them goes away. */
export class SharedWork<Result> {
  readonly #running = new Map<string, Work<Result>>();

  /** Throws what `work` throws, and the reason of `signal`. */
  async run(
    key: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    signal.throwIfAborted();
    const running = this.#running.get(key) ?? this.#begin(key, work);
    running.askers += 1;
    const left = Promise.withResolvers<never>();
    const leave = (): void => left.reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([running.result, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      running.askers -= 1;
      if (running.askers === 0) {
        this.#forget(key, running);
        running.abort.abort(new Error('nobody waits for it any more'));
      }
    }
  }

  #begin(key: string, work: (signal: AbortSignal) => Promise<Result>): Work<Result> {
    const abort = new AbortController();
    const running: Work<Result> = { result: work(abort.signal), abort, askers: 0 };
    this.#running.set(key, running);
    // Whoever asks is told of a failure; nobody may be left to be told.
    running.result.catch(() => undefined).finally(() => this.#forget(key, running));
    return running;
  }

  #forget(key: string, running: Work<Result>): void {
    if (this.#running.get(key) === running) this.#running.delete(key);
  }
}
