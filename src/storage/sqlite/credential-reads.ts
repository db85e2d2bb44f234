// The reads of grants, credentials and signing keys.
import type { Credential, CredentialStore, Grant, IdPage, SigningKey } from '../account-store.ts';
import type { Page } from '../metadata-store.ts';
import {
  type CredentialRow,
  credentialColumns,
  type GrantRow,
  grantColumns,
  toCredential,
  toGrant,
} from './account-rows.ts';
import { bothWays, idBefore, wayOf } from './both-ways.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { toPage } from './reads.ts';

const grants = `SELECT ${grantColumns} FROM access_grant g JOIN subject s ON s.id = g.subject_id
  LEFT JOIN namespace n ON n.id = g.namespace_id`;
const credentials = `SELECT ${credentialColumns} FROM credential c JOIN subject s ON s.id = c.subject_id`;

export const sql = {
  grant: `${grants} WHERE g.id = ?`,
  ...bothWays(
    'grantsIn',
    (
      beyond,
      way,
    ) => `${grants} WHERE g.namespace_id = (SELECT id FROM namespace WHERE name = ?) AND g.id ${beyond} ?
    ORDER BY g.id${way} LIMIT ?`,
  ),
  ...bothWays(
    'grantsOfRegistry',
    (beyond, way) =>
      `${grants} WHERE g.namespace_id IS NULL AND g.id ${beyond} ? ORDER BY g.id${way} LIMIT ?`,
  ),
  grantsOfSubject: `${grants} WHERE g.subject_id = (SELECT id FROM subject WHERE name = ?) AND g.id > ?
    ORDER BY g.id LIMIT ?`,
  credentialByHash: `${credentials} WHERE c.hash = ?`,
  credentialById: `${credentials} WHERE c.id = ?`,
  ...bothWays(
    'credentialsOf',
    (
      beyond,
      way,
    ) => `${credentials} WHERE c.subject_id = (SELECT id FROM subject WHERE name = ?) AND c.kind = ?
    AND c.id ${beyond} ? ORDER BY c.id${way} LIMIT ?`,
  ),
  tokensEnding: `${credentials} WHERE c.expires_at >= ? AND c.expires_at < ? AND c.kind IN ('personal', 'robot')
    AND s.disabled_at IS NULL ORDER BY c.expires_at LIMIT ?`,
  tokensUnused: `${credentials} WHERE coalesce(c.last_used_at, c.created_at) < ? AND c.kind IN ('personal', 'robot')
    AND (c.expires_at IS NULL OR c.expires_at > ?) AND s.disabled_at IS NULL
    ORDER BY coalesce(c.last_used_at, c.created_at) LIMIT ?`,
  // No name is empty: all of them, the newest first.
  keys: `SELECT kid, jwk, created_at AS createdAt, retired_at AS retiredAt FROM signing_key
    WHERE rowid > 0 ORDER BY rowid DESC`,
} as const;

interface KeyRow {
  readonly kid: string;
  readonly jwk: string;
  readonly createdAt: number;
  readonly retiredAt: number | null;
}

export type CredentialReads = ReturnType<typeof makeCredentialReads>;

export function makeCredentialReads(db: Connection) {
  const statements: Readonly<Record<keyof typeof sql, Statement>> = prepareAll(db, sql);
  const toGrants = (rows: unknown[], limit: number): Page<Grant> =>
    toPage((rows as GrantRow[]).map(toGrant), limit);
  const find = (statement: Statement, key: unknown): Credential | undefined => {
    const row = statement.get(key) as CredentialRow | undefined;
    return row && toCredential(row);
  };

  return {
    findGrant(id: number): Grant | undefined {
      const row = statements.grant.get(id) as GrantRow | undefined;
      return row && toGrant(row);
    },

    listGrants(namespace: string | undefined, page: IdPage): Page<Grant> {
      const values = [idBefore(page), page.limit + 1];
      const rows =
        namespace === undefined
          ? statements[wayOf('grantsOfRegistry', page)].all(...values)
          : statements[wayOf('grantsIn', page)].all(namespace, ...values);
      return toGrants(rows, page.limit);
    },

    listGrantsOfSubject(subject: string, { after = 0, limit }: IdPage): Page<Grant> {
      return toGrants(statements.grantsOfSubject.all(subject, after, limit + 1), limit);
    },

    findCredentialByHash: (hash: Buffer) => find(statements.credentialByHash, hash),

    findCredential: (id: number) => find(statements.credentialById, id),

    listCredentials(subject: string, options: Parameters<CredentialStore['list']>[1]): Page<Credential> {
      const { kinds, limit, descending = false } = options;
      const statement = statements[wayOf('credentialsOf', options)];
      const after = idBefore(options);
      // Kind by kind, each in order of the index: thousands of refresh tokens do not stand before the one token asked for.
      const rows = [...new Set(kinds)].flatMap(
        (kind) => statement.all(subject, kind, after, limit + 1) as CredentialRow[],
      );
      rows.sort((a, b) => (descending ? b.id - a.id : a.id - b.id));
      return toPage(rows.map(toCredential), limit);
    },

    listNotable({ now, expiresBefore, unusedSince, limit }: Parameters<CredentialStore['listNotable']>[0]) {
      const expiring = statements.tokensEnding.all(now, expiresBefore, limit) as CredentialRow[];
      const unused =
        unusedSince === undefined
          ? []
          : (statements.tokensUnused.all(unusedSince, now, limit) as CredentialRow[]);
      return { expiring: expiring.map(toCredential), unused: unused.map(toCredential) };
    },

    listKeys: (): readonly SigningKey[] =>
      (statements.keys.all() as KeyRow[]).map((row) => ({ ...row, retiredAt: row.retiredAt ?? undefined })),
  };
}
