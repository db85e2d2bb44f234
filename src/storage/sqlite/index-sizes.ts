// The size of an index: that of the blobs of all that it lists, each once. It is kept in manifest_summary, and added up anew whenever
// something below it arrives that was not there when it came. The steps run inside the transaction of the intention that calls them.
import { type Connection, prepareAll, type Statement } from './connection.ts';

export const sql = {
  kindOf: 'SELECT kind FROM manifest_summary WHERE manifest_id = ?',
  setSize: 'UPDATE manifest_summary SET size = ? WHERE manifest_id = ?',
  childrenOf: 'SELECT child_id FROM manifest_child WHERE parent_id = ?',
  parentsOf: 'SELECT parent_id FROM manifest_child WHERE child_id = ?',
  blobsOf: `SELECT b.id, b.size FROM manifest_blob e JOIN blob b ON b.id = e.blob_id WHERE e.manifest_id = ?`,
} as const;

const mostWalked = { childrenOf: 20_000, parentsOf: 200 } as const;

export class IndexSizes {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;

  constructor(db: Connection) {
    this.#statements = prepareAll(db, sql);
    this.#statements.blobsOf.raw();
    for (const key of ['kindOf', 'childrenOf', 'parentsOf'] as const) this.#statements[key].pluck();
  }

  /** Adds up what is below a manifest, itself included. */
  sizeOf(id: number): number {
    const sizes = new Map<number, number>();
    for (const manifest of this.#walk(id, 'childrenOf')) {
      for (const [blob, size] of this.#statements.blobsOf.all(manifest) as [number, number][]) {
        sizes.set(blob, size);
      }
    }
    let sum = 0;
    for (const size of sizes.values()) sum += size;
    return sum;
  }

  /** Notes the size of an index. What is none has its size from the start. */
  measure(id: number): void {
    if (this.#statements.kindOf.get(id) === 'index') this.#statements.setSize.run(this.sizeOf(id), id);
  }

  /** Adds up what lists a manifest, directly or not: it, or something of it, arrived after them. */
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
