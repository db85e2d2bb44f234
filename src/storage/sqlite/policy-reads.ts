// The reads that decisions rest on: the policy generation, everything that decides what a subject may, visibility.
import type { RepositoryName } from '../../oci/name.ts';
import type { HeldGrant, MemberRole, MovedRepository, RegistryRole, SubjectFacts } from '../account-store.ts';
import type { Visibility } from '../metadata-store.ts';
import { type HeldGrantRow, heldGrantColumns, toHeldGrant } from './account-rows.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';

// Of a robot also the user whose own namespace it is in.
const orItsUser = (condition: string) => `EXISTS (
    SELECT 1 FROM subject o WHERE o.namespace_id = s.namespace_id AND o.kind = 'user' AND o.${condition})`;
const subjectColumns = `s.id, s.kind, s.name, s.role, s.guest = 1 OR ${orItsUser('guest = 1')} AS guest,
  s.disabled_at IS NOT NULL OR ${orItsUser('disabled_at IS NOT NULL')} AS disabled,
  s.password_generation AS passwordGeneration, n.name AS namespace`;

export const sql = {
  generation: `SELECT CAST(value AS INTEGER) FROM instance WHERE key = 'policy_generation'`,
  visibility: `SELECT visibility FROM repository WHERE name = ? AND state <> 'deleted'`,
  moved: `SELECT r.name, r.visibility FROM repository_alias a JOIN repository r ON r.id = a.repository_id
    WHERE a.name = ? AND r.state = 'live'`,
  subjectById: `SELECT ${subjectColumns} FROM subject s LEFT JOIN namespace n ON n.id = s.namespace_id
    WHERE s.id = ? AND s.kind IN ('user', 'robot') AND s.removed_at IS NULL`,
  subjectByName: `SELECT ${subjectColumns} FROM subject s LEFT JOIN namespace n ON n.id = s.namespace_id
    WHERE s.name = ? AND s.kind IN ('user', 'robot') AND s.removed_at IS NULL`,
  organizationsOf: `SELECT n.name, m.role FROM organization_member m JOIN namespace n ON n.id = m.namespace_id
    WHERE m.subject_id = ? AND n.removed_at IS NULL`,
  teamsOf: `SELECT s.id, s.name FROM team_member m JOIN subject s ON s.id = m.team_id WHERE m.subject_id = ?`,
  grantsOf: `SELECT ${heldGrantColumns} FROM access_grant g JOIN subject s ON s.id = g.subject_id WHERE g.subject_id = ?`,
  commonGrants: `SELECT ${heldGrantColumns} FROM subject s JOIN access_grant g ON g.subject_id = s.id
    WHERE s.name IN ('anonymous', 'authenticated')`,
} as const;

interface SubjectRow {
  readonly id: number;
  readonly kind: 'user' | 'robot';
  readonly name: string;
  readonly role: RegistryRole | null;
  readonly guest: number;
  readonly disabled: number;
  readonly passwordGeneration: number;
  readonly namespace: string | null;
}

/** By name, in bytewise order: names are ASCII. */
export const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : 1;

export type PolicyReads = ReturnType<typeof makePolicyReads>;

export function makePolicyReads(db: Connection) {
  const statements: Readonly<Record<keyof typeof sql, Statement>> = prepareAll(db, sql);
  for (const key of ['generation', 'visibility'] as const) statements[key].pluck();

  const grantsOf = (subjectId: number): HeldGrant[] =>
    (statements.grantsOf.all(subjectId) as HeldGrantRow[]).map(toHeldGrant);

  const completeFacts = (row: SubjectRow): SubjectFacts => {
    const organizations = statements.organizationsOf.all(row.id) as { name: string; role: MemberRole }[];
    const teams = statements.teamsOf.all(row.id) as { id: number; name: string }[];
    return {
      id: row.id,
      kind: row.kind,
      name: row.name,
      registryRole: row.role ?? 'user',
      guest: row.guest === 1,
      disabled: row.disabled === 1,
      passwordGeneration: row.passwordGeneration,
      namespace: row.namespace ?? undefined,
      organizations: organizations.sort(byName),
      teams: teams.map(({ name }) => name).sort(),
      grants: [row, ...teams].flatMap(({ id }) => grantsOf(id)).sort((a, b) => a.id - b.id),
    };
  };
  // In one read transaction: a mixture of before and after some change was never anybody's policy.
  const readFacts = db.transaction((statement: Statement, key: number | string) => {
    const row = statement.get(key) as SubjectRow | undefined;
    return row && completeFacts(row);
  });

  return {
    generation: () => statements.generation.get() as number,
    findVisibility: (repository: RepositoryName) =>
      statements.visibility.get(repository) as Visibility | undefined,
    findMoved: (name: RepositoryName) => statements.moved.get(name) as MovedRepository | undefined,
    findSubject: (id: number): SubjectFacts | undefined => readFacts(statements.subjectById, id),
    findSubjectByName: (name: string): SubjectFacts | undefined => readFacts(statements.subjectByName, name),
    listCommonGrants: (): readonly HeldGrant[] =>
      (statements.commonGrants.all() as HeldGrantRow[]).map(toHeldGrant).sort((a, b) => a.id - b.id),
  };
}
