// What the management API answers, as far as commands read it. Its own description is the OpenAPI document.
import type { MemberRole, RegistryRole, Role } from '../../storage/account-store.ts';
import type { Visibility } from '../../storage/metadata-store.ts';

export interface User {
  readonly name: string;
  readonly role: RegistryRole;
  readonly guest: boolean;
  readonly fullName: string | null;
  readonly email: string | null;
  readonly enabled: boolean;
  readonly hasPassword: boolean;
  readonly createdAt: string;
  readonly disabledAt: string | null;
}

export interface Namespace {
  readonly name: string;
  readonly kind: 'user' | 'organization' | 'proxy' | 'unowned';
  readonly defaultVisibility: Visibility | null;
  readonly description: string;
  readonly createdAt: string;
}

/** One namespace alone is told with its usage, to those who may read all of it. */
export interface NamespaceWithUsage extends Namespace {
  readonly usage: { readonly repositories: number; readonly size: number } | null;
}

export interface Member {
  readonly name: string;
  readonly role: MemberRole;
}

export interface Team {
  readonly name: string;
  readonly members: number;
}

export interface Robot {
  readonly name: string;
  readonly namespace: string;
  readonly description: string;
  readonly enabled: boolean;
  readonly createdAt: string;
}

export interface Token {
  readonly id: number;
  readonly name: string;
  /** The most it gives. */
  readonly role: Role;
  readonly repositories: readonly string[] | null;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly lastUsedFrom: string | null;
}

export interface Session {
  readonly id: number;
  /** session: a browser; refresh: a login that docker stored. */
  readonly kind: 'session' | 'refresh';
  readonly client: string;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly lastUsedFrom: string | null;
}

export interface Grant {
  readonly id: number;
  readonly subject: string;
  readonly object: string;
  readonly role: Role;
  readonly expiresAt: string | null;
  readonly grantedBy: string;
  readonly createdAt: string;
}

/** A token or code in the answer that made it. */
export interface WithSecret {
  readonly secret: string;
}

export interface Repository {
  readonly name: string;
  readonly namespace: string;
  readonly visibility: string;
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly manifests: number;
  readonly tags: number;
  readonly sizes: { readonly own: number; readonly shared: number };
  readonly pulls: number;
  readonly pushes: number;
  readonly lastPulledAt: string | null;
  readonly lastPushedAt: string | null;
  readonly createdAt: string;
}

export interface RepositoryDetails extends Repository {
  readonly readme: string;
  readonly links: readonly { readonly title: string; readonly url: string }[];
}
