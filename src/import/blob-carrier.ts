// Brings single blobs: by a link to one that is here, by a second name of a file, by a copy, or over the network in a session
// that a broken transfer, or an import that was killed, goes on with.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { algorithmOf, type Digest } from '../oci/digest.ts';
import { OciError } from '../oci/errors.ts';
import type { RepositoryName } from '../oci/name.ts';
import { Places } from '../places.ts';
import type { WorkRun } from '../registry/operation-run.ts';
import type { Registry } from '../registry/registry.ts';
import type { UploadOwner } from '../registry/uploads.ts';
import { type ImportReport, importOrigin } from './report.ts';
import { type SourceBlob, SourceFault, type SourceRepository } from './source.ts';

/** Whose the upload sessions are. No account can have this name. */
const principal = 'operation:import';

/** A transfer that breaks so often without a single byte in between is given up. */
const mostFruitlessTries = 5;

export class BlobCarrier {
  readonly #registry: Registry;
  readonly #report: ImportReport;
  readonly #run: WorkRun;
  readonly #link: boolean;
  readonly #places: Places;
  /** One transfer of a digest at a time, for all repositories. */
  readonly #busy = new Map<Digest, Promise<void>>();
  /** What the source has no good bytes of; it is not read again for the next repository. */
  readonly #faults = new Map<Digest, SourceFault>();

  constructor(options: {
    registry: Registry;
    report: ImportReport;
    run: WorkRun;
    parallel: number;
    link: boolean;
  }) {
    this.#registry = options.registry;
    this.#report = options.report;
    this.#run = options.run;
    this.#link = options.link;
    this.#places = new Places(options.parallel);
  }

  /**
   * Sees to it that the repository has the blob. What the source cannot give is a finding where it is `needed`, and the push of
   * the manifest tells the rest. Throws what keeps the registry from taking content.
   */
  async bring(
    repository: RepositoryName,
    source: SourceRepository,
    digest: Digest,
    need: 'needed' | 'optional',
  ): Promise<void> {
    for (let busy = this.#busy.get(digest); busy !== undefined; busy = this.#busy.get(digest)) await busy;
    const done = Promise.withResolvers<void>();
    this.#busy.set(digest, done.promise);
    try {
      await this.#places.pass('', () => this.#bring(repository, source, digest));
    } catch (error) {
      const fault = asSourceFault(error);
      if (fault === undefined) throw error;
      if (fault.kind !== 'refused') this.#faults.set(digest, fault);
      if (need === 'needed' || fault.kind !== 'missing')
        this.#report.note({ kind: fault.kind, repository, digest, detail: fault.message });
    } finally {
      this.#busy.delete(digest);
      done.resolve();
    }
  }

  async #bring(repository: RepositoryName, source: SourceRepository, digest: Digest): Promise<void> {
    await this.#run.step();
    if (await this.#isHere(repository, digest)) {
      this.#report.blobs.present++;
      return;
    }
    const { blobs } = this.#registry;
    const mount = {
      to: repository,
      from: undefined,
      digest,
      origin: importOrigin,
      mayPull: async () => true,
    };
    if (await blobs.mount(mount)) {
      this.#report.blobs.mounted++;
      return;
    }
    const known = this.#faults.get(digest);
    if (known !== undefined) throw known;
    const blob = await source.findBlob(digest);
    if (blob === undefined) throw new SourceFault('missing', 'the source has no such blob');
    const size = await this.#take(repository, digest, blob);
    this.#report.bytes += size;
  }

  async #isHere(repository: RepositoryName, digest: Digest): Promise<boolean> {
    try {
      await this.#registry.blobs.find(repository, digest);
      return true;
    } catch (error) {
      if (error instanceof OciError && error.code === 'BLOB_UNKNOWN') return false;
      throw error;
    }
  }

  async #take(repository: RepositoryName, digest: Digest, blob: SourceBlob): Promise<number> {
    if ('open' in blob) {
      const size = await this.#fetch({ repository, principal }, digest, blob.open);
      this.#report.blobs.fetched++;
      return size;
    }
    const { uploads } = this.#registry;
    const adopted = this.#link
      ? await guardFile(uploads.adopt(repository, digest, blob.path, importOrigin), blob.path)
      : undefined;
    if (adopted !== undefined) {
      this.#report.blobs.linked++;
      return adopted.size;
    }
    const body = createReadStream(blob.path, { highWaterMark: 512 * 1024, signal: this.#run.signal });
    const failed = failureOf(body);
    try {
      const chunk = { body, range: undefined, length: undefined };
      await uploads.put(repository, digest, algorithmOf(digest), chunk, importOrigin);
      this.#report.blobs.copied++;
      return body.bytesRead;
    } catch (error) {
      this.#run.signal.throwIfAborted();
      if (failed() !== undefined) throw fileFault(failed());
      throw error;
    } finally {
      body.destroy();
    }
  }

  /** Fetches a blob over the network. Bytes that a verified digest refutes are fetched once more from the beginning. */
  async #fetch(
    owner: UploadOwner,
    digest: Digest,
    open: (offset: number, signal: AbortSignal) => Promise<Readable>,
  ): Promise<number> {
    const { uploads } = this.#registry;
    const id = sessionId(owner.repository, digest);
    for (let tries = 1; ; tries += 1) {
      const size = await this.#fill(owner, id, digest, open);
      try {
        await uploads.finish(owner, id, digest, importOrigin);
        return size;
      } catch (error) {
        const refuted = error instanceof OciError && error.code === 'DIGEST_INVALID';
        if (!refuted || tries === 2) throw error;
      }
    }
  }

  async #fill(
    owner: UploadOwner,
    id: string,
    digest: Digest,
    open: (offset: number, signal: AbortSignal) => Promise<Readable>,
  ): Promise<number> {
    const { uploads } = this.#registry;
    let size = await this.#resume(owner, id, digest);
    for (let fruitless = 0; ; ) {
      await this.#run.step();
      const body = await open(size, this.#run.signal);
      const failed = failureOf(body);
      try {
        return (await uploads.append(owner, id, { body, range: undefined, length: undefined })).size;
      } catch (error) {
        this.#run.signal.throwIfAborted();
        if (failed() === undefined) throw error;
        const reached = (await uploads.find(owner, id)).size;
        fruitless = reached > size ? 0 : fruitless + 1;
        size = reached;
        if (fruitless === mostFruitlessTries)
          throw new SourceFault('unreadable', `the transfer breaks at byte ${size}: ${failed()?.message}`);
      } finally {
        body.destroy();
      }
    }
  }

  /** The size of the session that an earlier run left, or 0 of a new one. */
  async #resume(owner: UploadOwner, id: string, digest: Digest): Promise<number> {
    const { uploads } = this.#registry;
    try {
      return (await uploads.find(owner, id)).size;
    } catch (error) {
      if (!(error instanceof OciError && error.code === 'BLOB_UPLOAD_UNKNOWN')) throw error;
    }
    await uploads.begin(owner, algorithmOf(digest), id);
    return 0;
  }
}

/** The same for the same blob of the same repository, so that the next run finds the session again. */
function sessionId(repository: RepositoryName, digest: Digest): string {
  return `import-${createHash('sha256').update(`${repository} ${digest}`).digest('hex')}`;
}

/** Tells later whether a stream failed by itself, as opposed to whoever took its bytes. */
function failureOf(body: Readable): () => Error | undefined {
  let failure: Error | undefined;
  body.on('error', (error) => {
    failure ??= error;
  });
  return () => failure;
}

/** A fault of the source, where an error tells of one: then only what depends on it is left out. */
function asSourceFault(error: unknown): SourceFault | undefined {
  if (error instanceof SourceFault) return error;
  if (!(error instanceof OciError)) return undefined;
  if (error.code === 'DIGEST_INVALID')
    return new SourceFault('damaged', `it has the digest ${error.detail.actual}`, { cause: error });
  // Larger than this registry takes, or than a quota has room for.
  if (error.code === 'SIZE_INVALID' || error.code === 'DENIED')
    return new SourceFault('refused', error.message, { cause: error });
  return undefined;
}

async function guardFile<T>(work: Promise<T>, path: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    // A failure of the registry's own files names other paths.
    if ((error as { path?: unknown }).path === path) throw fileFault(error);
    throw error;
  }
}

function fileFault(error: unknown): SourceFault {
  const { code, message } = error as NodeJS.ErrnoException;
  return new SourceFault(code === 'ENOENT' ? 'missing' : 'unreadable', message, { cause: error });
}
