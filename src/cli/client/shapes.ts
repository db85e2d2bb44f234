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
  readonly repositories: number;
  readonly usedBytes: number;
  readonly createdAt: string;
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
  readonly role: Role | null;
  readonly repositories: readonly string[] | null;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly lastUsedFrom: string | null;
}

export interface Session {
  readonly id: number;
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
