// Where an import takes its content from: the one shape that a folder of distribution, an OCI layout and a live registry have
// in common. Nothing is ever written to a source.
import type { Readable } from 'node:stream';
import type { Digest } from '../oci/digest.ts';

/** Something in the source cannot be had. What depends on it is left out, and the import goes on. */
export class SourceFault extends Error {
  override readonly name = 'SourceFault';
  /** `deleted`: gone by somebody's will, which is no damage. */
  readonly kind: 'damaged' | 'missing' | 'unreadable' | 'refused' | 'deleted';
  constructor(kind: SourceFault['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

export interface SourceManifest {
  readonly bytes: Buffer;
  /** undefined where the source does not keep it: the document decides. */
  readonly mediaType: string | undefined;
}

export interface SourceReferrer {
  readonly digest: Digest;
  /** The tag that makes it a referrer, where clients find it by that alone. */
  readonly tag?: string;
}

/** A blob as a file of this machine, or as a stream that can begin at an offset. */
export type SourceBlob =
  | { readonly path: string }
  /** Throws SourceFault. What comes is checked against the digest by whoever asks. */
  | { readonly open: (offset: number, signal: AbortSignal) => Promise<Readable> };

export interface SourceRepository {
  /** As the source spells it: perhaps no name that Berth takes. */
  readonly name: string;
  listTags(): AsyncIterable<string>;
  /** What a tag points at; undefined where it is gone. Throws SourceFault. */
  resolveTag(tag: string): Promise<Digest | undefined>;
  /** Manifests that are to come whether or not a tag leads to them. */
  listUntagged(): AsyncIterable<Digest>;
  /**
   * The bytes of a manifest, verified; undefined where the repository has none: then it may be a blob. `listedAs` is the media
   * type under which an index lists it. Throws SourceFault.
   */
  readManifest(digest: Digest, listedAs?: string): Promise<SourceManifest | undefined>;
  /** Manifests that refer to this one. */
  listReferrers(digest: Digest): Promise<readonly SourceReferrer[]>;
  /** undefined where there is none. Throws SourceFault. */
  findBlob(digest: Digest): Promise<SourceBlob | undefined>;
}

export interface ImportSource {
  /** How many things at a time suit it, where nobody said otherwise. */
  readonly parallel: number;
  /** All repositories to import, listed before the first is read. Throws SourceFault where the source cannot be read at all. */
  listRepositories(): Promise<readonly SourceRepository[]>;
  close(): Promise<void>;
}

/** For sources on this machine: what waits for the disk is then made durable together. */
export const folderParallel = 16;
