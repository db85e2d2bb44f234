// The intention that adds a signature to a manifest. It runs in one transaction of the writer.
import type { AddSignatureOutcome, SignatureStore } from '../signature-store.ts';
import type { Input } from './access-steps.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';
import type { SharedWrites } from './shared-writes.ts';

export const sql = {
  signedManifest: 'SELECT 1 FROM manifest WHERE repository_id = ? AND digest = ?',
  signatureByName: 'SELECT 1 FROM signature WHERE repository_id = ? AND digest = ? AND name = ?',
  signatureCount: 'SELECT count(*) FROM signature WHERE repository_id = ? AND digest = ?',
  addSignature: `INSERT INTO signature (repository_id, digest, name, content, added_at, added_by)
    VALUES (?, ?, ?, ?, ?, ?)`,
} as const;

export class SignatureWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;

  constructor(db: Connection, shared: SharedWrites) {
    this.#shared = shared;
    this.#statements = prepareAll(db, sql);
    this.#statements.signatureCount.pluck();
  }

  addSignature(now: Now, input: Input<SignatureStore['add']>): AddSignatureOutcome {
    const { repository: name, digest, signature, most, origin } = input;
    const repository = this.#shared.findRepository(name);
    if (repository === undefined) return 'unknown';
    if (this.#statements.signedManifest.get(repository.id, digest) === undefined) return 'unknown';
    if (this.#statements.signatureByName.get(repository.id, digest, signature.name) !== undefined)
      return 'exists';
    if ((this.#statements.signatureCount.get(repository.id, digest) as number) >= most) return 'too-many';
    this.#statements.addSignature.run(
      repository.id,
      digest,
      signature.name,
      signature.content,
      now.at,
      origin.actor,
    );
    this.#shared.events.addContent(now, 'sign', origin, {
      repository: name,
      reference: signature.name,
      digest,
    });
    return 'added';
  }
}
