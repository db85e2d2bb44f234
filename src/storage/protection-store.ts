// The contract of protection: rules that keep tags from being moved or deleted. They are judged inside the transaction of the
// change, on every path that sets or removes a tag, and bind everybody whom they do not exempt, administrators too.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type { Origin } from './terms.ts';

export const protectionKinds = ['immutable', 'create-only', 'no-delete'] as const;
/**
 * create-only: while the tag is there it is not moved, but it may be deleted; no-delete: it may be moved, but neither it nor the
 * manifest that it leads to is deleted; immutable: both.
 */
export type ProtectionKind = (typeof protectionKinds)[number];

/** The namespace whose rules hold in the whole registry. */
export const registryRules = 'system';

/** Stands in `exempt` for every administrator. */
export const allAdministrators = 'administrators';

export interface ProtectionRule {
  /** A pattern of full repository names; ** alone: everything in the namespace. */
  readonly repositories: string;
  /** A glob (oci/tag-glob.ts). */
  readonly tags: string;
  readonly rule: ProtectionKind;
  /** Whom it does not bind: alice, acme+ci, team:acme/dev, administrators. */
  readonly exempt: readonly string[];
}

/** A rule that holds for a tag, and where it comes from. */
export interface HeldRule {
  readonly rule: ProtectionKind;
  readonly tags: string;
  readonly repositories: string;
  /** `system`: the whole registry's. */
  readonly namespace: string;
}

/**
 * What a rule keeps from being done. `manifest` and `repository`: they would go, and the tag with them. `move repository`: to a
 * name under which nothing would protect the tag any more.
 */
export interface TagProtection {
  readonly act: 'move' | 'delete' | 'delete manifest' | 'delete repository' | 'move repository';
  readonly repository: RepositoryName;
  readonly tag: Tag;
  readonly held: HeldRule;
  /** Of the manifest that would have been deleted. */
  readonly digest?: Digest | undefined;
}

/** A rule protects a tag from this change; nothing was written. Whatever sets or removes tags may throw it. */
export class TagProtectedError extends Error {
  override readonly name = 'TagProtectedError';
  readonly protection: TagProtection;
  constructor(protection: TagProtection) {
    const { act, repository, tag, held } = protection;
    super(`${repository}:${tag} is ${held.rule} (rule ${held.tags} of ${held.namespace}): no ${act}`);
    this.protection = protection;
  }
}

export interface ProtectionStore {
  /** Puts the whole set of a namespace's rules. Nothing is written where the outcome is another than `set`. */
  set(options: {
    readonly namespace: string;
    readonly rules: readonly ProtectionRule[];
    readonly origin: Origin;
  }): Promise<
    | { readonly outcome: 'set' }
    | { readonly outcome: 'unknown-namespace' }
    | { readonly outcome: 'unknown-subject'; readonly subject: string }
  >;
  /** What `set` would answer; nothing is written. */
  judge(options: {
    readonly namespace: string;
    readonly rules: readonly ProtectionRule[];
  }): ReturnType<ProtectionStore['set']>;
  /** The rules of a namespace in their order; undefined where there is no such namespace. */
  list(namespace: string): Promise<readonly ProtectionRule[] | undefined>;
  /**
   * What tells for each tag of a repository which rule holds: the strictest; with `act` of those that keep it from that. Good
   * until rules change.
   */
  rulesOf(repository: RepositoryName, act?: 'move' | 'delete'): Promise<(tag: Tag) => HeldRule | undefined>;
  /** The first tag that keeps a repository from being deleted by somebody. The change itself is judged again. */
  findProtected(repository: RepositoryName, origin: Origin): Promise<TagProtection | undefined>;
  /** The first tag that keeps a repository from getting another name. The move itself is judged again. */
  findProtectedMove(
    from: RepositoryName,
    to: RepositoryName,
    origin: Origin,
  ): Promise<TagProtection | undefined>;
  /** The first tag that keeps a manifest from being deleted by somebody. The change itself is judged again. */
  findProtectedManifest(
    repository: RepositoryName,
    digest: Digest,
    origin: Origin,
  ): Promise<TagProtection | undefined>;
  /** What keeps somebody from moving or deleting a tag, or the manifest of it. The change itself is judged again. */
  findProtection(options: {
    readonly repository: RepositoryName;
    readonly tag: Tag;
    readonly act: TagProtection['act'];
    readonly origin: Origin;
  }): Promise<TagProtection | undefined>;
}
