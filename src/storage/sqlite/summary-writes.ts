// The steps that keep manifest_summary, what lists tell of a manifest without its bytes. They run inside the transaction of the
// intention that calls them; the row itself, how many tags there are and when somebody pulled is the business of triggers.
import type { ManifestDescription, ManifestToStore } from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';

export const sql = {
  describe: 'UPDATE manifest_summary SET kind = ?, platforms = ?, signs = ? WHERE manifest_id = ?',
  note: 'UPDATE manifest_summary SET platforms = ?, signs = ? WHERE manifest_id = ?',
  kindOf: 'SELECT kind FROM manifest_summary WHERE manifest_id = ?',
  setSize: 'UPDATE manifest_summary SET size = ? WHERE manifest_id = ?',
  copy: `UPDATE manifest_summary SET (kind, size, platforms, signs) =
      (SELECT s.kind, s.size, s.platforms, s.signs FROM manifest_summary s WHERE s.manifest_id = ?)
    WHERE manifest_id = ?`,
  restore: `UPDATE manifest_summary SET (size, platforms, signs) =
      (SELECT t.size, t.platforms, t.signs FROM trash t WHERE t.id = ?)
    WHERE manifest_id = ?`,
  childrenOf: 'SELECT child_id FROM manifest_child WHERE parent_id = ?',
  parentsOf: 'SELECT parent_id FROM manifest_child WHERE child_id = ?',
  blobsOf: `SELECT b.id, b.size FROM manifest_blob e JOIN blob b ON b.id = e.blob_id WHERE e.manifest_id = ?`,
} as const;

const mostWalked = { childrenOf: 20_000, parentsOf: 200 } as const;

/** The upkeep of summaries over one connection. */
export class SummaryWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;

  constructor(db: Connection) {
    this.#statements = prepareAll(db, sql);
    this.#statements.blobsOf.raw();
    for (const key of ['kindOf', 'childrenOf', 'parentsOf'] as const) this.#statements[key].pluck();
  }

  /** Notes what a push tells of a manifest, when its edges are there. */
  describe(id: number, manifest: ManifestToStore): void {
    const { kind, platforms, isSignature = false, subject } = manifest;
    const signs = isSignature ? subject : undefined;
    const text = platforms === undefined ? null : JSON.stringify(platforms);
    this.#statements.describe.run(kind, text, signs ?? null, id);
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

  /** Adds up an index anew: each blob below it counts once. What is no index has its size from the start. */
  measure(id: number): void {
    if (this.#statements.kindOf.get(id) !== 'index') return;
    const sizes = new Map<number, number>();
    for (const manifest of this.#walk(id, 'childrenOf')) {
      for (const [blob, size] of this.#statements.blobsOf.all(manifest) as [number, number][]) {
        sizes.set(blob, size);
      }
    }
    let sum = 0;
    for (const size of sizes.values()) sum += size;
    this.#statements.setSize.run(sum, id);
  }

  /** Adds up what lists a manifest, directly or not: it arrived after them. */
  measureAbove(id: number): void {
    for (const above of this.#walk(id, 'parentsOf')) this.measure(above);
  }

  /** A manifest and what is below or above it, each once. Beyond all reason it ends early: lists then tell of the first part. */
  #walk(id: number, edges: 'childrenOf' | 'parentsOf'): ReadonlySet<number> {
    const seen = new Set([id]);
    for (const manifest of seen) {
      for (const next of this.#statements[edges].all(manifest) as number[]) {
        if (seen.size < mostWalked[edges]) seen.add(next);
      }
    }
    return seen;
  }
}
