// The state of the medium under the store: tells a full disk from a broken one, and stops every write after the first sign
// of a broken one. After a failed fsync the kernel may have dropped the pages and report success from then on, so no later
// success counts.
import { asFault, DiskFullError, MediumFailedError, StoreUnavailableError } from '../faults.ts';
import { close, fdatasync, fsync, open } from './files.ts';

export class Medium {
  readonly #onFatal: (error: Error) => void;
  #failure: Error | undefined;

  constructor(onFatal: (error: Error) => void) {
    this.#onFatal = onFatal;
  }

  /** Throws StoreUnavailableError once the medium has failed. */
  checkWritable(): void {
    if (this.#failure === undefined) return;
    throw new StoreUnavailableError('the blob store stopped writing after a fault of its medium', {
      cause: this.#failure,
    });
  }

  /** Runs something that changes files; throws DiskFullError, MediumFailedError (the store stops) or what it failed with. */
  async write<T>(operation: Promise<T>): Promise<T> {
    try {
      return await operation;
    } catch (error) {
      const fault = asFault(error);
      if (fault instanceof MediumFailedError) this.#fail(fault);
      throw fault;
    }
  }

  /**
   * Makes the content of a file durable. Throws DiskFullError where the medium only finds out now that there is no room
   * (the content is lost: the caller has to discard the file), and MediumFailedError, after which the store stops.
   */
  async syncFile(fd: number): Promise<void> {
    try {
      await fdatasync(fd);
    } catch (error) {
      const fault = asFault(error);
      if (fault instanceof DiskFullError) throw fault;
      throw this.#fail(syncFailure(error));
    }
  }

  /** Makes the entries of an opened folder durable. Throws MediumFailedError, after which the store stops. */
  async syncFolder(fd: number): Promise<void> {
    try {
      await fsync(fd);
    } catch (error) {
      throw this.#fail(syncFailure(error));
    }
  }

  /** Like syncFolder, by path. */
  async syncFolderAt(path: string): Promise<void> {
    const fd = await open(path, 'r');
    try {
      await this.syncFolder(fd);
    } finally {
      await close(fd);
    }
  }

  #fail(error: MediumFailedError): MediumFailedError {
    if (this.#failure === undefined) {
      this.#failure = error;
      this.#onFatal(error);
    }
    return error;
  }
}

function syncFailure(error: unknown): MediumFailedError {
  const reason = error instanceof Error ? error.message : String(error);
  return new MediumFailedError(`the medium failed to make content durable: ${reason}`, { cause: error });
}
