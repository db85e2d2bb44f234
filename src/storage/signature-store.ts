// The contract of simple signatures: small opaque messages about a manifest, kept beside it and read by clients that verify them.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Origin } from './terms.ts';

export interface Signature {
  /** What tells it from the manifest's other signatures: 32 hexadecimal digits. */
  readonly name: string;
  readonly content: Buffer;
}

export type AddSignatureOutcome =
  | 'added'
  /** The manifest has one of that name, with another content or the same. */
  | 'exists'
  /** The repository or the manifest is not there. */
  | 'unknown'
  /** The manifest has as many as it may. */
  | 'too-many';

export interface SignatureStore {
  /** In order of name; empty where nothing is signed, or nothing there. */
  list(repository: RepositoryName, digest: Digest): Promise<readonly Signature[]>;
  /** Adds one to a manifest that is there. It goes when the manifest can come back no more. */
  add(options: {
    readonly repository: RepositoryName;
    readonly digest: Digest;
    readonly signature: Signature;
    /** The most that a manifest may have. */
    readonly most: number;
    readonly origin: Origin;
  }): Promise<AddSignatureOutcome>;
}
