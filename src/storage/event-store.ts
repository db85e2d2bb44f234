// The contract of the event store: what changed, by whom, from where. An event is a row of the same transaction as the change it
// tells of, so that neither the audit nor a webhook can lose one or invent one.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { Tag } from '../oci/reference.ts';
import type { Origin, Page } from './terms.ts';

export const eventKinds = [
  ...(['push', 'delete', 'mount', 'tag', 'untag', 'unlink', 'sign', 'restore', 'pull'] as const),
] as const;
/** Changes of content, and pulls where audit.recordPulls wants them as rows. */
export type EventKind = (typeof eventKinds)[number];

/** What else is audited: changes of who may what, of the registry itself, and sign-ins. */
export const auditActions = [
  'user.add',
  'user.update',
  'user.password',
  'user.disable',
  'user.enable',
  'user.remove',
  'organization.add',
  'organization.remove',
  'organization.restore',
  'member.set',
  'member.remove',
  'team.add',
  'team.remove',
  'team-member.add',
  'team-member.remove',
  'robot.add',
  'robot.update',
  'robot.remove',
  'namespace.update',
  'repository.add',
  'repository.update',
  'repository.move',
  'repository.remove',
  'repository.restore',
  'repository.purge',
  'alias.remove',
  'grant.set',
  'grant.remove',
  'token.add',
  'token.remove',
  'session.remove',
  'code.add',
  'code.remove',
  'key.rotate',
  'read-only.set',
  'sign-in',
  'quota.set',
  'quota.warn',
  'rule.set',
  'tag.update',
  'deleted.purge',
  'webhook.add',
  'webhook.update',
  'webhook.remove',
] as const;
export type AuditAction = (typeof auditActions)[number];

/**
 * One change, written in its transaction. push, delete, restore and sign are of manifests, mount and unlink of blobs, tag and
 * untag of tags.
 */
export interface RegistryEvent {
  readonly seq: number;
  readonly at: number;
  readonly kind: EventKind | AuditAction;
  readonly actor: string;
  readonly outcome: 'allowed' | 'refused';
  readonly repository: string | undefined;
  readonly reference: string | undefined;
  readonly digest: string | undefined;
  /**
   * What a change of access was about, the noun of the action before it: 'user:alice', 'organization:acme',
   * 'member:acme/alice', 'team:acme/dev', 'team-member:acme/dev/alice', 'robot:acme+ci', 'namespace:acme',
   * 'grant:acme/**', 'token:alice/laptop', 'session:alice/7', 'code:alice', 'key:KID', 'protection:acme', 'retention:acme'.
   */
  readonly object: string | undefined;
  /** Of the repository, or of the organization, grant or robot. Accounts of people belong to none. */
  readonly namespace: string | undefined;
  readonly address: string | undefined;
  readonly userAgent: string | undefined;
  readonly requestId: string | undefined;
  /** `before` and `after` of a change without secrets; counts of aggregated sign-ins and pulls; ContentDetail of content. */
  readonly detail: Readonly<Record<string, unknown>> | undefined;
}

/** What a change of content tells of the manifest or blob, which may be gone when somebody reads it. */
export interface ContentDetail {
  readonly mediaType?: string | undefined;
  /** Bytes of the manifest or blob itself. */
  readonly size?: number | undefined;
  /** Of pulls, which are gathered. */
  readonly count?: number;
  /** Of a copy: the manifest that it was made from. */
  readonly from?: string;
}

export interface AuditFilter {
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly object?: string | undefined;
  readonly repository?: string | undefined;
  readonly namespace?: string | undefined;
  readonly outcome?: 'allowed' | 'refused' | undefined;
  /** Unix seconds, inclusive. */
  readonly since?: number | undefined;
  /** Unix seconds, exclusive. */
  readonly until?: number | undefined;
}

/** Sign-ins of one account from one address with one outcome in one minute, gathered in memory. */
export interface SignIns {
  readonly at: number;
  readonly account: string;
  readonly address: string;
  readonly userAgent: string | undefined;
  readonly outcome: 'allowed' | 'refused';
  readonly count: number;
}

/**
 * How a tag came to where it points. retag: to another manifest that the repository had; copy: to one that came from another
 * repository; restore: to one that it pointed at before, or that was deleted.
 */
export const tagHistoryActions = ['push', 'retag', 'copy', 'restore', 'delete'] as const;
export type TagHistoryAction = (typeof tagHistoryActions)[number];

export interface TagHistoryEntry {
  readonly name: Tag;
  /** undefined = the tag was removed. */
  readonly digest: Digest | undefined;
  readonly action: TagHistoryAction;
  readonly at: number;
  readonly actor: string;
}

export interface EventStore {
  /** Events after `after`, in order. */
  read(options: { readonly after: number; readonly limit: number }): Promise<Page<RegistryEvent>>;
  /**
   * Events that match every part of `filter`, newest first, beginning before `before` (a seq). The most selective part is
   * looked up in an index; what then remains to be looked through is done in steps that let other work in between.
   */
  audit(options: {
    readonly filter: AuditFilter;
    readonly before?: number | undefined;
    readonly limit: number;
  }): Promise<Page<RegistryEvent>>;
  /** Writes gathered sign-ins as one event each. */
  recordSignIns(signIns: readonly SignIns[]): Promise<void>;
  /** Writes one event for a change that has no rows of its own (read-only). */
  record(options: {
    readonly action: AuditAction;
    readonly object: string;
    readonly detail: Readonly<Record<string, unknown>>;
    readonly origin: Origin;
  }): Promise<void>;
  /** The seq of the newest event, 0 where there is none. */
  newest(): Promise<number>;
  /** The seq of the oldest event that is left; undefined where there is none. */
  oldest(): Promise<number | undefined>;
  /**
   * Calls `listener` after every commit, whether or not it brought an event: whoever is told looks. What is returned ends that.
   */
  watch(listener: () => void): () => void;
  /** Drops up to `limit` events from before `at`; the number dropped. While a webhook is enabled, none of the last two days. */
  dropBefore(at: number, limit: number): Promise<number>;
  /** A tag's past, newest first. */
  tagHistory(repository: RepositoryName, tag: Tag, limit: number): Promise<readonly TagHistoryEntry[]>;
}
