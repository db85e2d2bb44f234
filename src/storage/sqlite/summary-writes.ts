// The steps that keep manifest_summary, what lists tell of a manifest without its bytes. They run inside the transaction of the
// intention that calls them; the row itself, how many tags there are and when somebody pulled is the business of triggers.
import type { ManifestDescription, ManifestToStore } from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { IndexSizes } from './index-sizes.ts';
import type { Now } from './now.ts';

export const sql = {
  describe: 'UPDATE manifest_summary SET kind = ?, size = ?, platforms = ?, signs = ? WHERE manifest_id = ?',
  note: 'UPDATE manifest_summary SET platforms = ?, signs = ? WHERE manifest_id = ?',
  copy: `UPDATE manifest_summary SET (kind, size, platforms, signs) =
      (SELECT s.kind, s.size, s.platforms, s.signs FROM manifest_summary s WHERE s.manifest_id = ?)
    WHERE manifest_id = ?`,
  restore: `UPDATE manifest_summary SET (size, platforms, signs) =
      (SELECT t.size, t.platforms, t.signs FROM trash t WHERE t.id = ?)
    WHERE manifest_id = ?`,
} as const;

/** The upkeep of summaries over one connection. */
export class SummaryWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #sizes: IndexSizes;

  constructor(db: Connection) {
    this.#statements = prepareAll(db, sql);
    this.#sizes = new IndexSizes(db);
  }

  /** Notes what a push tells of a manifest, when its edges are there. */
  describe(id: number, manifest: ManifestToStore): void {
    const { kind, imageBytes, platforms, isSignature = false, subject } = manifest;
    const signs = isSignature ? subject : undefined;
    const text = platforms === undefined ? null : JSON.stringify(platforms);
    this.#statements.describe.run(kind, imageBytes, text, signs ?? null, id);
    if (kind === 'index') this.measure(id);
  }

  /** Notes what was found in manifests that nobody had looked into. */
  noteDescriptions(_now: Now, found: readonly ManifestDescription[]): void {
    for (const { id, platforms, signs } of found) {
      this.#statements.note.run(JSON.stringify(platforms), signs ?? null, id);
      this.measure(id);
    }
  }

  /** The new manifest is the same as another one is. */
  copy(id: number, from: number): void {
    this.#statements.copy.run(from, id);
  }

  /** The new manifest is what it was before it went to the trash. */
  restore(id: number, trashId: number): void {
    this.#statements.restore.run(trashId, id);
  }

  /** Adds up an index anew. */
  measure(id: number): void {
    this.#sizes.measure(id);
  }

  /** Adds up what lists a manifest: it arrived after them. */
  measureAbove(id: number): void {
    this.#sizes.measureAbove(id);
  }
}
