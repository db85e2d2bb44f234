// Whether the registry takes writes just now: the read-only switch, room on the disk, and a medium that failed.
import { OciError } from '../oci/errors.ts';
import type { BlobStore, Space } from '../storage/blob-store.ts';
import { DiskFullError } from '../storage/faults.ts';

export interface WriteLimits {
  readonly readOnly: boolean;
  readonly delete: boolean;
  readonly keepFree: { readonly share: number; readonly bytes: number };
  readonly keepFreeInodes: number;
}

/** Room set aside that can be given up, so that a delete still works on a full disk. */
export interface Ballast {
  /** Frees the room and gives its bytes; 0 when there was none left. */
  release(): Promise<number>;
  /** Takes the room again; false where it does not fit. */
  refill(): Promise<boolean>;
}

/** What `/readyz` says of writes. */
export type WriteState = 'accepted' | 'refused, disk' | 'refused, read-only' | 'refused, medium failed';

const readOnlySentence =
  'the registry is read-only at the moment: pulls go on, pushes and deletes are refused';
const spaceIsFreshForMilliseconds = 1000;

/** The registry takes no changes just now, and the message says why. */
export class ReadOnlyError extends OciError {
  constructor(message: string) {
    super('UNAVAILABLE', message);
  }
}

export class WriteGate {
  readonly #blobs: BlobStore;
  readonly #ballast: Ballast;
  #limits: WriteLimits;
  #failed = false;
  /** Bytes of ballast that were given up and are not taken back yet. */
  #givenUp = 0;
  /** How often it was given up. */
  #releases = 0;
  /** Set while running, until it is taken back or the process ends. */
  #switchedTo: { readonly message: string } | undefined;
  #space: { readonly at: number; readonly value: Promise<Space> } | undefined;

  constructor(blobs: BlobStore, ballast: Ballast, limits: WriteLimits) {
    this.#blobs = blobs;
    this.#ballast = ballast;
    this.#limits = limits;
  }

  /** Takes over the one setting that may change while running. */
  reload({ readOnly }: Pick<WriteLimits, 'readOnly'>): void {
    this.#limits = { ...this.#limits, readOnly };
  }

  /** Makes the registry read-only, or undoes that, as long as the process lives; what the settings say stays. */
  setReadOnly(on: { readonly message?: string | undefined } | undefined): void {
    this.#switchedTo = on && { message: on.message ?? readOnlySentence };
  }

  /** What is told to whoever wants to change something; undefined: changes are taken. `configured`: by the settings. */
  readOnly(): { readonly message: string | undefined; readonly configured: boolean } {
    const configured = this.#limits.readOnly;
    return { message: this.#switchedTo?.message ?? (configured ? readOnlySentence : undefined), configured };
  }

  /** No write is accepted any more: the medium failed and the process is about to exit. */
  fail(): void {
    this.#failed = true;
  }

  async state(): Promise<WriteState> {
    if (this.#failed) return 'refused, medium failed';
    if (this.readOnly().message !== undefined) return 'refused, read-only';
    return (await this.#hasRoom()) ? 'accepted' : 'refused, disk';
  }

  /** For the care of the store, which goes on while the registry is read-only. Throws OciError UNAVAILABLE (503). */
  admitCare(): void {
    if (this.#failed)
      throw new OciError('UNAVAILABLE', 'the disk under the registry failed: it takes no writes any more');
  }

  /** Throws OciError UNAVAILABLE (503) while the registry is read-only or its medium has failed. */
  admitChange(): void {
    this.admitCare();
    const { message } = this.readOnly();
    if (message !== undefined) throw new ReadOnlyError(message);
  }

  /** Throws OciError UNSUPPORTED (405) where deleting is switched off, else like admitChange. */
  admitDelete(): void {
    this.admitDeletePlan();
    this.admitChange();
  }

  /** For what only tells what a delete would do. Throws OciError UNSUPPORTED (405) where deleting is switched off. */
  admitDeletePlan(): void {
    if (this.#limits.delete) return;
    throw new OciError('UNSUPPORTED', 'deleting is switched off in this registry (storage.delete)');
  }

  /** Like admitChange, and throws OciError UNAVAILABLE (507) when the disk is too full to take content. */
  async admitContent(): Promise<void> {
    this.admitChange();
    if (await this.#hasRoom()) return;
    throw new OciError(
      'UNAVAILABLE',
      'the disk under the registry is almost full (storage.keepFree): pulls go on, pushes are refused until there is space again',
      {},
      { status: 507 },
    );
  }

  /** Runs a change that needs little room, giving up the ballast where the disk has none. */
  async withBallast<Result>(change: () => Promise<Result>): Promise<Result> {
    const releases = this.#releases;
    try {
      return await change();
    } catch (error) {
      if (!(error instanceof DiskFullError)) throw error;
      const freed = await this.#ballast.release();
      if (freed > 0) {
        this.#givenUp = freed;
        this.#releases += 1;
      }
      // Another change may have given it up while this one ran into the full disk.
      if (this.#releases === releases) throw error;
      return await change();
    }
  }

  /** Takes the ballast back once there is room for content again. */
  async refillBallast(): Promise<void> {
    if (this.#failed || !(await this.#hasRoom())) return;
    if (await this.#ballast.refill()) this.#givenUp = 0;
  }

  async #hasRoom(): Promise<boolean> {
    const now = performance.now();
    if (this.#space === undefined || now - this.#space.at > spaceIsFreshForMilliseconds) {
      this.#space = { at: now, value: this.#blobs.space() };
    }
    const { freeBytes, totalBytes, freeInodes, totalInodes } = await this.#space.value;
    const { share, bytes } = this.#limits.keepFree;
    // The room of the ballast is not for content: the next delete needs it, too.
    if (freeBytes < Math.min(totalBytes * share, bytes) + this.#givenUp) return false;
    // File systems without an inode limit report none in all.
    if (freeInodes === undefined || totalInodes === undefined || totalInodes === 0) return true;
    return freeInodes >= totalInodes * this.#limits.keepFreeInodes;
  }
}
