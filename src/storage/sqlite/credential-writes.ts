// The intentions that change credentials and signing keys. Each runs in one transaction of the writer.
import type {
  Credential,
  CredentialKind,
  CredentialStore,
  CredentialUse,
  KeyStore,
} from '../account-store.ts';
import type { AuditAction, Origin } from '../metadata-store.ts';
import type { AccessSteps, Answer, Input, SubjectRow } from './access-steps.ts';
import {
  type CredentialRow,
  credentialColumns,
  numberOfRole,
  toCredential,
  toSeconds,
} from './account-rows.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Change } from './event-writes.ts';
import type { Now } from './now.ts';
import type { UserWrites } from './user-writes.ts';

export const sql = {
  credentialById: `SELECT ${credentialColumns} FROM credential c JOIN subject s ON s.id = c.subject_id WHERE c.id = ?`,
  credentialByHash: `SELECT ${credentialColumns} FROM credential c JOIN subject s ON s.id = c.subject_id WHERE c.hash = ?`,
  credentialsOfKinds: `SELECT ${credentialColumns} FROM credential c JOIN subject s ON s.id = c.subject_id
    WHERE c.subject_id = ? AND c.kind IN (SELECT value FROM json_each(?))`,
  tokenOfLabel: `SELECT 1 FROM credential WHERE subject_id = ? AND label = ? AND kind IN ('personal', 'robot')`,
  addCredential: `INSERT INTO credential (subject_id, parent_id, kind, hash, label, role, patterns, created_at, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  dropCredential: 'DELETE FROM credential WHERE id = ?',
  // A use that was noted late does not hide a newer one.
  noteUse: `UPDATE credential SET last_used_at = ?, last_used_from = ?
    WHERE id = ? AND (last_used_at IS NULL OR last_used_at <= ?)`,
  dropExpired: `DELETE FROM credential WHERE id IN (SELECT id FROM credential
    WHERE kind IN ('refresh', 'session', 'setPassword') AND expires_at <= ? ORDER BY expires_at LIMIT ?)`,
  addKey: 'INSERT INTO signing_key (kid, jwk, created_at) VALUES (?, ?, ?)',
  retireKeys: `UPDATE signing_key SET retired_at = ? WHERE rowid > 0 AND kid <> ? AND retired_at IS NULL`,
  dropRetiredKeys: 'DELETE FROM signing_key WHERE rowid > 0 AND retired_at < ?',
} as const;

/** What the audit calls the removal of a credential. */
const removals: Readonly<Record<CredentialKind, { action: AuditAction; noun: string }>> = {
  personal: { action: 'token.remove', noun: 'token' },
  robot: { action: 'token.remove', noun: 'token' },
  session: { action: 'session.remove', noun: 'session' },
  refresh: { action: 'session.remove', noun: 'session' },
  setPassword: { action: 'code.remove', noun: 'code' },
};

const isToken = (kind: CredentialKind): boolean => kind === 'personal' || kind === 'robot';

/** The intentions on credentials and keys over one connection. */
export class CredentialWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #steps: AccessSteps;
  readonly #users: UserWrites;

  constructor(db: Connection, steps: AccessSteps, users: UserWrites) {
    this.#steps = steps;
    this.#users = users;
    this.#statements = prepareAll(db, sql);
  }

  addCredential(now: Now, input: Input<CredentialStore['add']>): Answer<CredentialStore['add']> {
    const { kind, label, role, patterns, parentId, expiresAt, origin } = input;
    const subject = this.#findBearer(input.subject);
    if (subject === undefined) return { outcome: 'unknown' };
    if (parentId !== undefined && this.#find(parentId)?.subjectId !== subject.id)
      return { outcome: 'unknown' };
    const taken = isToken(kind) && this.#statements.tokenOfLabel.get(subject.id, label) !== undefined;
    if (taken) return { outcome: 'exists' };
    const added = this.#statements.addCredential.run(
      subject.id,
      parentId ?? null,
      kind,
      Buffer.from(input.hash),
      label,
      role === undefined ? null : numberOfRole(role),
      patterns === undefined ? null : JSON.stringify(patterns),
      now.at,
      toSeconds(expiresAt),
    );
    const credential = this.#find(Number(added.lastInsertRowid));
    if (credential === undefined) throw new Error('the credential is not there although it was just written');
    this.#tellOfNew(now, origin, subject, credential);
    return { outcome: 'added', credential };
  }

  removeCredential(now: Now, input: Input<CredentialStore['remove']>): boolean {
    const credential = this.#find(input.id);
    if (credential?.subject !== input.subject || !input.kinds.includes(credential.kind)) return false;
    this.#end(now, input.origin, [credential]);
    return true;
  }

  removeCredentials(now: Now, input: Input<CredentialStore['removeAll']>): number {
    const subject = this.#findBearer(input.subject);
    if (subject === undefined) return 0;
    const kinds = JSON.stringify(input.kinds);
    const rows = this.#statements.credentialsOfKinds.all(subject.id, kinds) as CredentialRow[];
    this.#end(now, input.origin, rows.map(toCredential));
    return rows.length;
  }

  redeemCode(now: Now, input: Input<CredentialStore['redeemCode']>): boolean {
    const { name, passwordHash, origin } = input;
    const row = this.#statements.credentialByHash.get(Buffer.from(input.hash)) as CredentialRow | undefined;
    if (row?.kind !== 'setPassword' || row.subject !== name) return false;
    if (row.expiresAt !== null && row.expiresAt <= now.at) return false;
    // The code ends with everything else that a new password ends.
    return this.#users.setPassword(now, { name, hash: passwordHash, origin });
  }

  recordUses(_now: Now, uses: readonly CredentialUse[]): void {
    for (const { id, at, from } of uses) this.#statements.noteUse.run(toSeconds(at), from, id, toSeconds(at));
  }

  dropExpired(now: Now, limit: number): number {
    return this.#statements.dropExpired.run(now.at, limit).changes;
  }

  rotateKeys(now: Now, input: Input<KeyStore['rotate']>): void {
    const { kid, jwk, dropRetiredBefore, origin } = input;
    this.#statements.addKey.run(kid, jwk, now.at);
    const retired = this.#statements.retireKeys.run(now.at, kid).changes;
    const dropped = this.#statements.dropRetiredKeys.run(toSeconds(dropRetiredBefore)).changes;
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, origin, {
      action: 'key.rotate',
      object: `key:${kid}`,
      after: { retired, dropped },
    });
  }

  #tellOfNew(now: Now, origin: Origin, subject: SubjectRow, credential: Credential): void {
    const { kind, label, role, patterns, expiresAt } = credential;
    const object = isToken(kind) ? `token:${subject.name}/${label}` : `code:${subject.name}`;
    if (isToken(kind))
      this.#tell(now, origin, 'token.add', object, subject, { after: { role, patterns, expiresAt } });
    else if (kind === 'setPassword')
      this.#tell(now, origin, 'code.add', object, subject, { after: { expiresAt } });
  }

  #find(id: number): Credential | undefined {
    const row = this.#statements.credentialById.get(id) as CredentialRow | undefined;
    return row && toCredential(row);
  }

  /** Who can have credentials: a user or a robot. */
  #findBearer(name: string): SubjectRow | undefined {
    const subject = this.#steps.findSubject(name);
    return subject?.kind === 'user' || subject?.kind === 'robot' ? subject : undefined;
  }

  /** Ends credentials of one subject: each token is told of by itself, what was obtained by signing in by its kind. */
  #end(now: Now, origin: Origin, credentials: readonly Credential[]): void {
    if (credentials.length === 0) return;
    const ended = new Map<string, { action: AuditAction; count: number }>();
    for (const { id, kind, subject, label } of credentials) {
      this.#statements.dropCredential.run(id);
      const { action, noun } = removals[kind];
      const one = isToken(kind)
        ? `/${label}`
        : kind === 'session' && credentials.length === 1
          ? `/${id}`
          : '';
      const object = `${noun}:${subject}${one}`;
      ended.set(object, { action, count: (ended.get(object)?.count ?? 0) + 1 });
    }
    const subject = this.#findBearer(credentials[0]?.subject ?? '');
    for (const [object, { action, count }] of ended)
      this.#tell(now, origin, action, object, subject, count > 1 ? { before: { count } } : {});
    this.#steps.movePolicy();
  }

  #tell(
    now: Now,
    origin: Origin,
    action: AuditAction,
    object: string,
    subject: SubjectRow | undefined,
    change: Pick<Change, 'before' | 'after'>,
  ): void {
    // A robot belongs to its namespace, a person to none.
    const namespace = subject?.kind === 'robot' ? (subject.namespace ?? undefined) : undefined;
    this.#steps.events.addChange(now, origin, { action, object, namespace, ...change });
  }
}
