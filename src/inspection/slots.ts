// How many may decompress at the same time, and how many wait for that: looking into layers is to leave the processor to pulls
// and pushes, and no one caller is to take all of it. Who asks for what somebody is reading already shares it.
import { Places } from '../places.ts';
import { InspectionFault } from './faults.ts';

export interface SlotBounds {
  /** How many one owner may have at the same time. */
  readonly most?: number;
  /** For how many one owner may wait. */
  readonly mostWaiting?: number;
  /** How long anybody waits, in milliseconds. */
  readonly longestWait?: number;
}

export class Slots {
  readonly #places: Places;
  readonly #mostWaiting: number;
  readonly #mostWaitingOfOwner: number;
  readonly #longestWait: number | undefined;
  /** How many of all one owner may have; undefined: all. */
  readonly #mostOfOwner: number | undefined;

  constructor(most: number, mostWaiting: number, bounds: SlotBounds = {}) {
    this.#places = new Places(most, bounds.most);
    this.#mostWaiting = mostWaiting;
    this.#mostOfOwner = bounds.most;
    this.#mostWaitingOfOwner = bounds.mostWaiting ?? mostWaiting;
    this.#longestWait = bounds.longestWait;
  }

  /**
   * Waits for a slot; the function that is returned gives it back. Of those who wait, whoever has the least goes first. Throws
   * InspectionFault (busy), and the reason of `signal`.
   */
  async take(signal: AbortSignal, owner = ''): Promise<() => void> {
    signal.throwIfAborted();
    const places = this.#places;
    if (!places.enter(owner)) {
      if (places.waiting() >= this.#mostWaiting || places.waiting(owner) >= this.#mostWaitingOfOwner)
        throw this.#busy(owner);
      await this.#turn(signal, owner);
    }
    let given = false;
    return () => {
      if (given) return;
      given = true;
      places.leave(owner);
    };
  }

  #turn(signal: AbortSignal, owner: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        withdraw();
        clearTimeout(timer);
        signal.removeEventListener('abort', leave);
      };
      const leave = (): void => {
        end();
        reject(signal.reason);
      };
      const giveUp = (): void => {
        end();
        reject(this.#busy(owner));
      };
      const withdraw = this.#places.wait(owner, () => {
        end();
        resolve();
      });
      const timer = this.#longestWait === undefined ? undefined : setTimeout(giveUp, this.#longestWait);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  #busy(owner: string): InspectionFault {
    const message =
      this.#mostOfOwner !== undefined && this.#places.hasAll(owner)
        ? `${this.#mostOfOwner} large files out of images are on their way to you or your address: fetch them to their end, then try again`
        : 'too many images are looked into at the moment: try again in a few seconds';
    return new InspectionFault('busy', message);
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
