// Tags, manifests and what was deleted, as the management API tells of them, and how they are named on a command line.
import { CommandError, exitCodes } from '../exit-codes.ts';
import { type Api, path } from './api.ts';
import { splitReference } from './registry-address.ts';

export interface Deprecation {
  readonly message: string;
  readonly replacement?: string;
}

interface Facts {
  readonly digest: string;
  readonly platforms: readonly string[];
  readonly kind: 'image' | 'index' | 'artifact';
  readonly artifactType: string | null;
  readonly size: number;
  readonly pushedAt: string;
  readonly pulledAt: string | null;
  readonly signed: boolean;
}

export interface Tag extends Facts {
  readonly name: string;
  /** The rule of protection that holds for it. */
  readonly immutable: string | null;
  readonly deprecation: Deprecation | null;
}

export interface Manifest extends Facts {
  readonly tagCount: number;
  readonly subject: string | null;
  readonly listedBy: readonly string[];
}

export interface TagChange {
  readonly previousDigest: string | null;
  readonly action: string | null;
  readonly copied: { readonly manifests: number; readonly bytes: number };
  readonly restored: readonly string[];
  readonly referrers: { readonly copied: number; readonly left: number };
}

export interface TagPast {
  readonly digest: string | null;
  readonly previousDigest: string | null;
  readonly action: string;
  readonly actor: string;
  readonly at: string;
  readonly state: 'live' | 'deleted' | 'gone';
  readonly restorableUntil: string | null;
}

export interface RemovedTags {
  readonly deleted: readonly { readonly name: string; readonly digest: string }[];
  readonly kept: readonly { readonly name: string; readonly reason: string }[];
  readonly next: string | null;
}

export interface Deleted {
  readonly id: string;
  readonly kind: string;
  readonly repository: string;
  readonly digest: string | null;
  readonly tag: string | null;
  readonly tags: readonly string[];
  readonly size: number | null;
  readonly deletedAt: string;
  readonly deletedBy: string;
  readonly restorableUntil: string | null;
}

export interface Restored {
  readonly repository: string;
  readonly restored: readonly string[];
  readonly tags: readonly string[];
  readonly taken: readonly string[];
}

export interface Reference {
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

/** REPO, REPO:TAG or REPO@DIGEST, without a host. */
export function parseReference(text: string): Reference {
  const [named = '', digest] = text.split('@', 2);
  const colon = named.lastIndexOf(':');
  // A colon before a slash belongs to a host, which is taken off elsewhere.
  const isTag = colon > named.lastIndexOf('/');
  return {
    repository: isTag ? named.slice(0, colon) : named,
    tag: isTag ? named.slice(colon + 1) : undefined,
    digest,
  };
}

/** REPO:TAG. Throws CommandError for anything else. */
export function parseTagged(text: string): { readonly repository: string; readonly tag: string } {
  const { repository, tag, digest } = parseReference(text);
  if (tag === undefined || tag === '' || repository === '' || digest !== undefined) {
    throw new CommandError(
      exitCodes.wrongUsage,
      `found ${JSON.stringify(text)}, allowed: REPOSITORY:TAG, as in acme/web:v1`,
    );
  }
  return { repository, tag };
}

/** A further reference of a command, whose first one said which registry it is about. Throws CommandError for another one. */
export function inSameRegistry(text: string, { door }: Api): string {
  const { host, name } = splitReference(text);
  if (host === undefined) return text;
  if (host === door.host) return name;
  throw new CommandError(
    exitCodes.wrongUsage,
    `${host} is another registry than ${door.host}: this works within one; between two it takes skopeo copy`,
  );
}

/** The path of a tag. */
export function tagPath({ repository, tag }: { readonly repository: string; readonly tag: string }): string {
  return path`repositories/${repository}/-/tags/${tag}`;
}
