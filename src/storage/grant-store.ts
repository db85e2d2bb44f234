// The contract of the grant store: who may what, given by somebody.
import type { IdPage, Origin, Page } from './terms.ts';

/** What one may on a repository; each role includes those before it. */
export const roles = ['read', 'write', 'maintain', 'admin'] as const;
export type Role = (typeof roles)[number];

export type SubjectKind = 'anonymous' | 'authenticated' | 'user' | 'robot' | 'team';

/** A grant as a decision needs it. `subject` is the name of whoever it was given to ('alice', 'acme/dev', 'authenticated'). */
export interface HeldGrant {
  readonly id: number;
  readonly subject: string;
  readonly subjectKind: SubjectKind;
  readonly pattern: string;
  readonly role: Role;
  readonly expiresAt: number | undefined;
}

export interface Grant extends HeldGrant {
  /** undefined: registry-wide, pattern '**'. */
  readonly namespace: string | undefined;
  readonly grantedBy: string;
  readonly createdAt: number;
}

export interface GrantStore {
  /**
   * One grant a subject and pattern: a second one replaces role and expiry, and tells who gave it last. `namespace` undefined:
   * registry-wide.
   * `subject` as it is stored: 'alice', 'acme/dev', 'acme+ci', 'authenticated', 'anonymous'.
   */
  put(options: {
    readonly namespace: string | undefined;
    readonly subject: string;
    readonly pattern: string;
    readonly role: Role;
    readonly expiresAt?: number | undefined;
    readonly origin: Origin;
  }): Promise<
    | { readonly outcome: 'created' | 'replaced'; readonly grant: Grant }
    | { readonly outcome: 'unknown-subject' | 'unknown-namespace' }
  >;
  find(id: number): Promise<Grant | undefined>;
  /** In order of id, beginning after `after`. `namespace` undefined: the registry-wide ones. */
  list(namespace: string | undefined, page: IdPage): Promise<Page<Grant>>;
  /** Every grant given to one subject, by id. */
  listOfSubject(
    subject: string,
    page: { readonly after?: number | undefined; readonly limit: number },
  ): Promise<Page<Grant>>;
  remove(options: { readonly id: number; readonly origin: Origin }): Promise<boolean>;
}
