// The uploads that this process remembers. Those at rest keep their hash, and a few their open file, so that the next
// request goes on at once; the longest-idle ones are forgotten first, and what they knew is read from the file again.
import type { Upload } from '../blob-store.ts';
import type { Layout } from './layout.ts';
import { type SessionSurroundings, UploadSession } from './upload-session.ts';

/** A hash in the middle of its work takes about a kilobyte. */
const mostIdle = 4096;
const mostIdleOpen = 64;

interface Entry {
  readonly session: UploadSession;
  users: number;
}

export class UploadSessions {
  readonly #layout: Layout;
  readonly #around: SessionSurroundings;
  readonly #entries = new Map<string, Entry>();
  /** Ids at rest, the longest-idle first. */
  readonly #idle = new Set<string>();
  readonly #idleOpen = new Set<string>();

  constructor(layout: Layout, around: SessionSurroundings) {
    this.#layout = layout;
    this.#around = around;
  }

  /** Runs `task` with the session of `upload`; of all tasks on one upload they share one session. */
  async use<T>(upload: Upload, task: (session: UploadSession) => Promise<T>): Promise<T> {
    const entry = this.#entry(upload);
    entry.users++;
    this.#idle.delete(upload.id);
    this.#idleOpen.delete(upload.id);
    try {
      return await task(entry.session);
    } finally {
      entry.users--;
      if (entry.users === 0) this.#rest(entry.session);
    }
  }

  /** The session of an upload that some task works on now. */
  findBusy(upload: Upload): UploadSession | undefined {
    const entry = this.#entries.get(upload.id);
    return entry !== undefined && entry.users > 0 ? entry.session : undefined;
  }

  /** Ends every append and closes every file, after what was asked for before is done. */
  async shut(): Promise<void> {
    await Promise.all(Array.from(this.#entries.values(), ({ session }) => session.shut()));
  }

  #entry(upload: Upload): Entry {
    const known = this.#entries.get(upload.id);
    if (known !== undefined) return known;
    const path = this.#layout.uploadPath(upload.id);
    // The state of an upload found by listing is empty; a wrong guess costs a second pass in commit, no more.
    const algorithm = upload.state === 'sha512' ? 'sha512' : 'sha256';
    const entry = { session: new UploadSession(upload.id, path, algorithm, this.#around), users: 0 };
    this.#entries.set(upload.id, entry);
    return entry;
  }

  #rest(session: UploadSession): void {
    if (!session.isOpen) {
      this.#entries.delete(session.id);
      return;
    }
    this.#idle.add(session.id);
    this.#idleOpen.add(session.id);
    if (this.#idleOpen.size > mostIdleOpen) {
      for (const id of this.#idleOpen) {
        this.#idleOpen.delete(id);
        this.#entries.get(id)?.session.closeFile();
        break;
      }
    }
    if (this.#idle.size > mostIdle) {
      for (const id of this.#idle) {
        this.#idle.delete(id);
        this.#entries.delete(id);
        break;
      }
    }
  }
}
