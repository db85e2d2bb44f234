// The reads of users, namespaces, organizations, teams and robots.
import type { RepositoryName } from '../../oci/name.ts';
import type {
  Member,
  NamePage,
  Namespace,
  NamespaceStore,
  PasswordFacts,
  Robot,
  User,
  UserStore,
} from '../account-store.ts';
import type { Page } from '../metadata-store.ts';
import {
  type NamespaceRow,
  namespaceColumns,
  type RobotRow,
  robotColumns,
  toNamespace,
  toRobot,
  toUser,
  type UserRow,
  userColumns,
} from './account-rows.ts';
import { bothWays, idBefore, nameBefore, wayOf } from './both-ways.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { byName } from './policy-reads.ts';
import { toPage } from './reads.ts';

const organization = `(SELECT id FROM namespace WHERE name = ? AND kind = 'organization' AND removed_at IS NULL)`;

const users = (after: string, order: string, hint = '') => `SELECT ${userColumns} FROM subject s${hint}
    WHERE s.kind = 'user' AND s.removed_at IS NULL AND ${after}
    AND (@disabled IS NULL OR (s.disabled_at IS NOT NULL) = @disabled)
    AND (@q = '' OR instr(s.name, lower(@q)) > 0 OR instr(lower(s.full_name), lower(@q)) > 0
      OR instr(lower(s.email), lower(@q)) > 0)
    ORDER BY ${order} LIMIT @limit`;

const enabledAdministrator = "role = 'administrator' AND disabled_at IS NULL AND removed_at IS NULL";

export const sql = {
  user: `SELECT ${userColumns} FROM subject s WHERE s.name = ? AND s.kind = 'user' AND s.removed_at IS NULL`,
  taken: `SELECT EXISTS (SELECT 1 FROM subject WHERE name = ?)
    OR EXISTS (SELECT 1 FROM namespace WHERE name = ? AND kind <> 'unowned')`,
  ...bothWays('users', (beyond, way) => users(`s.name ${beyond} @after`, `s.name${way}`)),
  // By rowid, past robots and teams.
  ...bothWays('usersByCreation', (beyond, way) =>
    users(`s.id ${beyond} @after`, `s.id${way}`, ' NOT INDEXED'),
  ),
  lastAdministrator: `SELECT EXISTS (SELECT 1 FROM subject WHERE ${enabledAdministrator} AND name = @name)
    AND NOT EXISTS (SELECT 1 FROM subject WHERE ${enabledAdministrator} AND name <> @name)`,
  userCount: `SELECT count(*) FROM subject WHERE kind = 'user' AND removed_at IS NULL AND name > ''`,
  password: `SELECT id, password_hash, password_generation, disabled_at FROM subject
    WHERE name = ? AND kind = 'user' AND removed_at IS NULL`,
  namespace: `SELECT ${namespaceColumns} FROM namespace n WHERE n.name = ? AND n.removed_at IS NULL`,
  ...bothWays(
    'namespaces',
    (
      beyond,
      way,
    ) => `SELECT ${namespaceColumns} FROM namespace n WHERE n.name ${beyond} @after AND n.removed_at IS NULL
    AND (@kind IS NULL OR n.kind = @kind) ORDER BY n.name${way} LIMIT @limit`,
  ),
  repositoriesIn: `SELECT r.name FROM namespace n JOIN repository r ON r.namespace_id = n.id AND r.state = 'live'
    WHERE n.name = ? AND n.removed_at IS NULL ORDER BY r.name LIMIT ?`,
  ...bothWays(
    'members',
    (beyond) => `SELECT s.name, m.role FROM organization_member m JOIN subject s ON s.id = m.subject_id
    WHERE m.namespace_id = ${organization} AND s.name ${beyond} ?`,
  ),
  member: `SELECT s.name, m.role FROM subject s JOIN organization_member m ON m.subject_id = s.id
    WHERE m.namespace_id = ${organization} AND s.name = ?`,
  team: `SELECT s.id, (SELECT count(*) FROM team_member m WHERE m.team_id = s.id) AS members FROM subject s
    WHERE s.name = ? AND s.kind = 'team'`,
  ...bothWays(
    'teams',
    (
      beyond,
      way,
    ) => `SELECT s.name, (SELECT count(*) FROM team_member m WHERE m.team_id = s.id) AS members FROM subject s
    WHERE s.namespace_id = ${organization} AND s.kind = 'team' AND s.name ${beyond} ? ORDER BY s.name${way} LIMIT ?`,
  ),
  ...bothWays(
    'teamMembers',
    (
      beyond,
    ) => `SELECT u.name FROM subject s JOIN team_member m ON m.team_id = s.id JOIN subject u ON u.id = m.subject_id
    WHERE s.name = ? AND s.kind = 'team' AND u.name ${beyond} ?`,
  ),
  robot: `SELECT ${robotColumns} FROM subject s JOIN namespace n ON n.id = s.namespace_id
    WHERE s.name = ? AND s.kind = 'robot'`,
  ...bothWays(
    'robots',
    (
      beyond,
      way,
    ) => `SELECT ${robotColumns} FROM namespace n JOIN subject s ON s.namespace_id = n.id AND s.kind = 'robot'
    WHERE n.name = ? AND n.removed_at IS NULL AND s.name ${beyond} ? ORDER BY s.name${way} LIMIT ?`,
  ),
} as const;

type Statements = Readonly<Record<keyof typeof sql, Statement>>;

export type AccountReads = ReturnType<typeof makeAccountReads>;

export function makeAccountReads(db: Connection) {
  const statements: Statements = prepareAll(db, sql);
  for (const key of ['userCount', 'lastAdministrator', 'repositoriesIn', 'taken'] as const)
    statements[key].pluck();
  statements.password.raw();
  return {
    ...makeUserReads(statements),
    ...makeNamespaceReads(statements),
    ...makeOrganizationReads(statements),
  };
}

function makeUserReads(statements: Statements) {
  return {
    findUser(name: string): User | undefined {
      const row = statements.user.get(name) as UserRow | undefined;
      return row && toUser(row);
    },

    isLastAdministrator: (name: string) => statements.lastAdministrator.get({ name }) === 1,

    isTaken: (name: string) => statements.taken.get(name, name) === 1,

    listUsers(options: Parameters<UserStore['list']>[0]): Page<User> {
      const { q = '', state, limit } = options;
      const disabled = state === undefined ? null : Number(state === 'disabled');
      const isByName = options.by !== 'createdAt';
      const after = isByName ? nameBefore(options) : idBefore(options);
      const way = wayOf(isByName ? 'users' : 'usersByCreation', options);
      const rows = statements[way].all({ after, q, disabled, limit: limit + 1 }) as UserRow[];
      return toPage(rows.map(toUser), limit);
    },

    countUsers: () => statements.userCount.get() as number,

    findPassword(name: string): PasswordFacts | undefined {
      const row = statements.password.get(name) as [number, string | null, number, number | null] | undefined;
      if (row === undefined) return undefined;
      const [subjectId, hash, generation, disabledAt] = row;
      return { subjectId, hash: hash ?? undefined, generation, disabled: disabledAt !== null };
    },
  };
}

function makeNamespaceReads(statements: Statements) {
  return {
    findNamespace(name: string): Namespace | undefined {
      const row = statements.namespace.get(name) as NamespaceRow | undefined;
      return row && toNamespace(row);
    },

    listNamespaces(options: Parameters<NamespaceStore['list']>[0]): Page<Namespace> {
      const { kind = null, limit } = options;
      const values = { after: nameBefore(options), kind, limit: limit + 1 };
      const rows = statements[wayOf('namespaces', options)].all(values) as NamespaceRow[];
      return toPage(rows.map(toNamespace), limit);
    },

    listRepositoriesIn: (name: string, limit: number) =>
      statements.repositoriesIn.all(name, limit) as RepositoryName[],

    findRobot(name: string): Robot | undefined {
      const row = statements.robot.get(name) as RobotRow | undefined;
      return row && toRobot(row);
    },

    listRobots(namespace: string, page: NamePage): Page<Robot> {
      const statement = statements[wayOf('robots', page)];
      const rows = statement.all(namespace, nameBefore(page), page.limit + 1) as RobotRow[];
      return toPage(rows.map(toRobot), page.limit);
    },
  };
}

interface TeamRow {
  readonly name: string;
  readonly members: number;
}

function makeOrganizationReads(statements: Statements) {
  // Members are ordered here: the rows of an organization are few, and walking all users in order of name would cost more.
  return {
    listMembers(organization: string, page: NamePage): Page<Member> {
      const rows = statements[wayOf('members', page)].all(organization, nameBefore(page)) as Member[];
      return toPage(inOrder(rows, page), page.limit);
    },

    findMember: (organization: string, user: string) =>
      statements.member.get(organization, user) as Member | undefined,

    findTeam(organization: string, team: string): TeamRow | undefined {
      const row = statements.team.get(`${organization}/${team}`) as { members: number } | undefined;
      return row && { name: team, members: row.members };
    },

    listTeams(organization: string, page: NamePage): Page<TeamRow> {
      const { limit } = page;
      const after = `${organization}/${nameBefore(page)}`;
      const rows = statements[wayOf('teams', page)].all(organization, after, limit + 1) as TeamRow[];
      const teams = rows.map(({ name, members }) => ({ name: name.slice(organization.length + 1), members }));
      return toPage(teams, limit);
    },

    listTeamMembers(organization: string, team: string, page: NamePage) {
      const statement = statements[wayOf('teamMembers', page)];
      const rows = statement.all(`${organization}/${team}`, nameBefore(page)) as { name: string }[];
      return toPage(inOrder(rows, page), page.limit);
    },
  };
}

function inOrder<Row extends { readonly name: string }>(
  rows: Row[],
  { descending }: NamePage,
): readonly Row[] {
  const sorted = rows.sort(byName);
  return descending === true ? sorted.reverse() : sorted;
}
