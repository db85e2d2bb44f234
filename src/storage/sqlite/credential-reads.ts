// The reads of grants, credentials and signing keys.
import type { Credential, CredentialStore, Grant, SigningKey } from '../account-store.ts';
import type { Page } from '../metadata-store.ts';
import {
  type CredentialRow,
  credentialColumns,
  type GrantRow,
  grantColumns,
  toCredential,
  toGrant,
} from './account-rows.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { toPage } from './reads.ts';

const grants = `SELECT ${grantColumns} FROM access_grant g JOIN subject s ON s.id = g.subject_id
  LEFT JOIN namespace n ON n.id = g.namespace_id`;
const credentials = `SELECT ${credentialColumns} FROM credential c JOIN subject s ON s.id = c.subject_id`;

export const sql = {
  grant: `${grants} WHERE g.id = ?`,
  grantsIn: `${grants} WHERE g.namespace_id = (SELECT id FROM namespace WHERE name = ?) AND g.id > ?
    ORDER BY g.id LIMIT ?`,
  grantsOfRegistry: `${grants} WHERE g.namespace_id IS NULL AND g.id > ? ORDER BY g.id LIMIT ?`,
  grantsOfSubject: `${grants} WHERE g.subject_id = (SELECT id FROM subject WHERE name = ?) AND g.id > ?
    ORDER BY g.id LIMIT ?`,
  credentialByHash: `${credentials} WHERE c.hash = ?`,
  credentialById: `${credentials} WHERE c.id = ?`,
  credentialsOf: `${credentials} WHERE c.subject_id = (SELECT id FROM subject WHERE name = ?) AND c.kind = ? AND c.id > ?
    ORDER BY c.id LIMIT ?`,
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

interface IdPage {
  readonly after?: number | undefined;
  readonly limit: number;
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

    listGrants(namespace: string | undefined, { after = 0, limit }: IdPage): Page<Grant> {
      const rows =
        namespace === undefined
          ? statements.grantsOfRegistry.all(after, limit + 1)
          : statements.grantsIn.all(namespace, after, limit + 1);
      return toGrants(rows, limit);
    },

    listGrantsOfSubject(subject: string, { after = 0, limit }: IdPage): Page<Grant> {
      return toGrants(statements.grantsOfSubject.all(subject, after, limit + 1), limit);
    },

    findCredentialByHash: (hash: Buffer) => find(statements.credentialByHash, hash),

    findCredential: (id: number) => find(statements.credentialById, id),

    listCredentials(
      subject: string,
      { kinds, after = 0, limit }: Parameters<CredentialStore['list']>[1],
    ): Page<Credential> {
      // Kind by kind, each in order of the index: thousands of refresh tokens do not stand before the one token asked for.
      const rows = [...new Set(kinds)].flatMap(
        (kind) => statements.credentialsOf.all(subject, kind, after, limit + 1) as CredentialRow[],
      );
      return toPage(rows.sort((a, b) => a.id - b.id).map(toCredential), limit);
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
