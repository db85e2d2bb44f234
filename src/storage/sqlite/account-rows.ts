// How rows of the access tables read: the columns that statements ask for, and the values of the contract that they become.
// Written in one place because the writer answers with the same values as the reader.
import {
  type Credential,
  type CredentialKind,
  type Grant,
  type HeldGrant,
  type Namespace,
  type RegistryRole,
  type Robot,
  type Role,
  roles,
  type SubjectKind,
  type User,
} from '../account-store.ts';
import type { Visibility } from '../metadata-store.ts';

/** Roles are numbers in rows, so that they can be compared there. */
export const numberOfRole = (role: Role): number => roles.indexOf(role) + 1;

export function roleOfNumber(number: number): Role {
  const role = roles[number - 1];
  if (role === undefined) throw new Error(`${number} is no role`);
  return role;
}

/** A time as rows keep it: whole seconds. */
export const toSeconds = (at: number | undefined): number | null =>
  at === undefined ? null : Math.floor(at);

export const userColumns = `s.id, s.name, s.role, s.guest, s.full_name AS fullName, s.email,
  s.password_hash IS NOT NULL AS hasPassword, s.created_at AS createdAt, s.disabled_at AS disabledAt,
  s.namespace_id AS namespaceId`;

export interface UserRow {
  readonly id: number;
  readonly name: string;
  readonly role: RegistryRole;
  readonly guest: number;
  readonly fullName: string | null;
  readonly email: string | null;
  readonly hasPassword: number;
  readonly createdAt: number;
  readonly disabledAt: number | null;
  readonly namespaceId: number | null;
}

export const toUser = (row: UserRow): User => ({
  id: row.id,
  name: row.name,
  role: row.role,
  guest: row.guest === 1,
  fullName: row.fullName ?? undefined,
  email: row.email ?? undefined,
  hasPassword: row.hasPassword === 1,
  createdAt: row.createdAt,
  disabledAt: row.disabledAt ?? undefined,
});

/** With the namespace as `n`. */
export const robotColumns = `s.id, s.name, n.name AS namespace, s.description, s.created_at AS createdAt,
  s.disabled_at AS disabledAt`;

export interface RobotRow {
  readonly id: number;
  readonly name: string;
  readonly namespace: string;
  readonly description: string;
  readonly createdAt: number;
  readonly disabledAt: number | null;
}

export const toRobot = (row: RobotRow): Robot => ({ ...row, disabledAt: row.disabledAt ?? undefined });

export const namespaceColumns = `n.name, n.kind, n.default_visibility AS defaultVisibility, n.description,
  (SELECT count(*) FROM repository r WHERE r.namespace_id = n.id AND r.state = 'live') AS repositories,
  n.used_bytes AS usedBytes, n.created_at AS createdAt`;

export interface NamespaceRow {
  readonly name: string;
  readonly kind: Namespace['kind'];
  readonly defaultVisibility: Visibility | null;
  readonly description: string;
  readonly repositories: number;
  readonly usedBytes: number;
  readonly createdAt: number;
}

export const toNamespace = (row: NamespaceRow): Namespace => ({
  ...row,
  defaultVisibility: row.defaultVisibility ?? undefined,
});

/** With the subject as `s`. */
export const heldGrantColumns =
  'g.id, s.name AS subject, s.kind AS subjectKind, g.pattern, g.role, g.expires_at AS expiresAt';

/** With the subject as `s` and the namespace, which there may be none of, as `n`. */
export const grantColumns = `${heldGrantColumns}, n.name AS namespace, g.granted_by AS grantedBy,
  g.created_at AS createdAt`;

export interface HeldGrantRow {
  readonly id: number;
  readonly subject: string;
  readonly subjectKind: SubjectKind;
  readonly pattern: string;
  readonly role: number;
  readonly expiresAt: number | null;
}

export interface GrantRow extends HeldGrantRow {
  readonly namespace: string | null;
  readonly grantedBy: string;
  readonly createdAt: number;
}

export const toHeldGrant = (row: HeldGrantRow): HeldGrant => ({
  ...row,
  role: roleOfNumber(row.role),
  expiresAt: row.expiresAt ?? undefined,
});

export const toGrant = (row: GrantRow): Grant => ({
  ...row,
  role: roleOfNumber(row.role),
  expiresAt: row.expiresAt ?? undefined,
  namespace: row.namespace ?? undefined,
});

/** With the subject as `s`. */
export const credentialColumns = `c.id, c.subject_id AS subjectId, s.name AS subject, c.kind, c.label, c.role, c.patterns,
  c.parent_id AS parentId, c.created_at AS createdAt, c.expires_at AS expiresAt, c.last_used_at AS lastUsedAt,
  c.last_used_from AS lastUsedFrom`;

export interface CredentialRow {
  readonly id: number;
  readonly subjectId: number;
  readonly subject: string;
  readonly kind: CredentialKind;
  readonly label: string;
  readonly role: number | null;
  readonly patterns: string | null;
  readonly parentId: number | null;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly lastUsedAt: number | null;
  readonly lastUsedFrom: string | null;
}

export const toCredential = (row: CredentialRow): Credential => ({
  ...row,
  role: row.role === null ? undefined : roleOfNumber(row.role),
  patterns: row.patterns === null ? undefined : (JSON.parse(row.patterns) as string[]),
  parentId: row.parentId ?? undefined,
  expiresAt: row.expiresAt ?? undefined,
  lastUsedAt: row.lastUsedAt ?? undefined,
  lastUsedFrom: row.lastUsedFrom ?? undefined,
});
