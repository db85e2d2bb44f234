// What the registry owes its clients, and what must be true of rows and files whenever nobody is in the middle of a step.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../src/oci/digest.ts';
import type { Connection } from '../../src/storage/sqlite/connection.ts';
import { findWrongCounts } from '../../src/storage/sqlite/counts.ts';

/** Something that the registry promised and did not keep. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export interface BlobState {
  readonly location: string;
  readonly damaged: boolean;
}

const sql = {
  changes: 'SELECT total_changes()',
  blobs: 'SELECT digest, location, damaged_at IS NOT NULL FROM blob',
  links: `SELECT r.name, b.digest, l.lease_ticks IS NULL,
      EXISTS (SELECT 1 FROM manifest_blob e WHERE e.repository_id = l.repository_id AND e.blob_id = l.blob_id)
    FROM repository_blob l LEFT JOIN repository r ON r.id = l.repository_id LEFT JOIN blob b ON b.id = l.blob_id`,
  manifests: 'SELECT r.name, m.digest FROM manifest m JOIN repository r ON r.id = m.repository_id',
  trash: 'SELECT r.name, t.digest FROM trash t JOIN repository r ON r.id = t.repository_id',
  queued: 'SELECT q.location FROM unlink_queue q JOIN blob b ON b.location = q.location',
  edgesWithoutLink: `SELECT count(*) FROM manifest_blob e LEFT JOIN repository_blob l
    ON l.repository_id = e.repository_id AND l.blob_id = e.blob_id WHERE l.blob_id IS NULL`,
  edgesWithoutBlob: `SELECT (SELECT count(*) FROM manifest_blob e WHERE e.blob_id NOT IN (SELECT id FROM blob))
    + (SELECT count(*) FROM trash_blob e WHERE e.blob_id NOT IN (SELECT id FROM blob))
    + (SELECT count(*) FROM manifest_child c WHERE c.child_id NOT IN (SELECT id FROM manifest))
    + (SELECT count(*) FROM tag t WHERE t.manifest_id NOT IN (SELECT id FROM manifest))`,
  shapes: `SELECT r.name, m.digest, (SELECT count(*) FROM manifest_blob e WHERE e.manifest_id = m.id),
      (SELECT count(*) FROM manifest_child c WHERE c.parent_id = m.id)
    FROM manifest m JOIN repository r ON r.id = m.repository_id`,
  wrongSummaries: `SELECT count(*) FROM manifest m LEFT JOIN manifest_summary s ON s.manifest_id = m.id
    WHERE s.tags IS NOT (SELECT count(*) FROM tag t WHERE t.manifest_id = m.id)`,
  wrongRepositories: `SELECT count(*) FROM repository r WHERE r.tags <> (SELECT count(*) FROM tag t WHERE t.repository_id = r.id)
    OR r.linked_bytes <> (SELECT coalesce(sum(b.size), 0) FROM repository_blob l JOIN blob b ON b.id = l.blob_id
      WHERE l.repository_id = r.id)
    OR r.own_bytes <> (SELECT coalesce(sum(b.size), 0) FROM repository_blob l JOIN blob b ON b.id = l.blob_id
      WHERE l.repository_id = r.id AND NOT EXISTS (SELECT 1 FROM repository_blob o
        WHERE o.blob_id = l.blob_id AND o.repository_id <> l.repository_id))`,
} as const;

type Rows = { readonly [Key in keyof typeof sql]: unknown[][] };

export class Expectations {
  readonly #statements: { readonly [Key in keyof typeof sql]: { all(): unknown } };
  readonly #db: Connection;
  readonly #contents: ReadonlyMap<Digest, string>;
  readonly #shapes: ReadonlyMap<string, readonly [blobs: number, children: number]>;
  readonly #blobsFolder: string;
  readonly #uptime: () => number;
  readonly #diskVersion: () => number;
  /** Grows with every new expectation. */
  #version = 0;
  #seen = '';
  /** repository|digest → the uptime until which a blob must be there. */
  readonly #promises = new Map<string, number>();
  /** Grows when a client takes something away: what was answered meanwhile may be outdated. */
  readonly #epochs = new Map<string, number>();
  /** What clients are taking away just now. */
  readonly #taken = new Map<string, number>();
  readonly #visible = new Set<string>();
  readonly #copies: (readonly [from: string, to: string])[] = [];
  readonly #manifests = new Set<string>();
  readonly #trash = new Map<string, number>();
  /** What clients bring back just now: whether it is in the trash cannot be told. */
  readonly #returning = new Map<string, number>();
  /** How often somebody brought something back. */
  #returned = 0;
  /** Locations whose files the run itself has spoiled. */
  readonly damagedLocations = new Set<string>();
  purges = 0;
  /** Locations that a backup copies just now. */
  snapshot: ReadonlySet<string> = new Set();

  constructor(options: {
    db: Connection;
    contents: ReadonlyMap<Digest, string>;
    /** How many blobs and children a manifest has. */
    shapes: ReadonlyMap<string, readonly [blobs: number, children: number]>;
    blobsFolder: string;
    uptime: () => number;
    diskVersion: () => number;
  }) {
    const statements = {} as Record<keyof typeof sql, { all(): unknown }>;
    for (const key of Object.keys(sql) as (keyof typeof sql)[])
      statements[key] = options.db.prepare(sql[key]).raw();
    this.#statements = statements;
    this.#db = options.db;
    this.#contents = options.contents;
    this.#shapes = options.shapes;
    this.#blobsFolder = options.blobsFolder;
    this.#uptime = options.uptime;
    this.#diskVersion = options.diskVersion;
  }

  epoch(key: string): number {
    return this.#epochs.get(key) ?? 0;
  }

  /** A client takes `key` away while `work` runs. */
  async takingAway(key: string, work: () => Promise<void>): Promise<void> {
    this.#taken.set(key, (this.#taken.get(key) ?? 0) + 1);
    this.#touch(key);
    await work();
    this.#touch(key);
    const left = (this.#taken.get(key) ?? 1) - 1;
    if (left > 0) this.#taken.set(key, left);
    else this.#taken.delete(key);
  }

  /** The process is gone, and with it what it was doing. */
  processEnded(): void {
    this.#taken.clear();
    this.#returning.clear();
    this.snapshot = new Set();
    if (this.purges % 2 === 1) this.giveUpTrash();
  }

  /**
   * A client brings manifests back while `work` runs, which tells whether it did. What it did not is in the trash still.
   */
  async bringingBack(keys: readonly string[], work: () => Promise<boolean>): Promise<void> {
    const { purges } = this;
    const held = keys.flatMap((key) => {
      const until = this.#trash.get(key);
      return until === undefined ? [] : [[key, until] as const];
    });
    for (const key of keys) {
      this.#returning.set(key, (this.#returning.get(key) ?? 0) + 1);
      this.#trash.delete(key);
    }
    const epochs = held.map(([key]) => this.epoch(key));
    const returned = this.#returned;
    const came = await work();
    if (came) this.#returned += 1;
    for (const key of keys) {
      const left = (this.#returning.get(key) ?? 1) - 1;
      if (left > 0) this.#returning.set(key, left);
      else this.#returning.delete(key);
    }
    // Somebody else may have brought it back meanwhile.
    if (returned !== this.#returned) return;
    for (const [index, [key, until]] of held.entries())
      if (epochs[index] === this.epoch(key)) this.manifestTrashed(key, until, purges);
  }

  /** From now on the repository may have the blob, and where it is being copied to. */
  allow(key: string): void {
    if (this.#visible.has(key)) return;
    this.#visible.add(key);
    for (const [from, to] of this.#copies) if (from === key) this.allow(to);
  }

  /** From now on `to` may have the blob where `from` has it, which may come to be at any time. */
  allowCopy(from: string, to: string): void {
    this.#copies.push([from, to]);
    if (this.#visible.has(from)) this.allow(to);
  }

  mayHave(key: string): boolean {
    return this.#visible.has(key);
  }

  blob(digest: Digest): BlobState | undefined {
    const found = this.#rows('blobs').find((row) => row[0] === digest);
    return found && { location: String(found[1]), damaged: found[2] === 1 };
  }

  /** A client was told that the blob is there. `before` is how it was when it asked. */
  promise(
    key: string,
    digest: Digest,
    before: { readonly epoch: number; readonly blob: BlobState | undefined; readonly since: number },
    seconds: number,
  ): void {
    if (!this.#visible.has(key)) throw new Violation(`${key} was answered as there, but was never given`);
    if (before.epoch !== this.epoch(key) || this.#taken.has(key)) return;
    // An answer that took longer than it promises says nothing any more.
    if (this.#uptime() >= before.since + seconds) return;
    const now = this.blob(digest);
    if (now === undefined) throw new Violation(`${key} was acknowledged and has no row`);
    const { blob } = before;
    if (now.damaged && blob?.damaged === true && blob.location === now.location)
      throw new Violation(`${key} was acknowledged and is still in quarantine`);
    if (this.damagedLocations.has(now.location)) return;
    this.#version += 1;
    // From when it was asked: nothing tells a client when exactly the registry made up its mind.
    this.#promises.set(key, Math.max(before.since + seconds, this.#promises.get(key) ?? 0));
  }

  /** What was promised of a digest ends: its file is about to be spoiled. */
  spoil(digest: Digest, location: string): void {
    this.damagedLocations.add(location);
    for (const key of [...this.#promises.keys()]) if (key.endsWith(`|${digest}`)) this.#promises.delete(key);
  }

  manifestStored(key: string, epoch: number): void {
    this.#version += 1;
    if (epoch === this.epoch(key) && !this.#taken.has(key)) this.#manifests.add(key);
  }

  /** `purges` is how often deleted manifests had been given up when the delete began. */
  manifestTrashed(key: string, until: number, purges: number): void {
    // Odd while a collection that gives them up runs.
    if (purges !== this.purges || purges % 2 === 1 || this.#returning.has(key)) return;
    this.#version += 1;
    this.#trash.set(key, until);
  }

  /** Somebody begins, or ends, to give up what was deleted. */
  giveUpTrash(): void {
    this.purges += 1;
    this.#trash.clear();
  }

  /** Throws Violation for the first thing that is not as it must be. */
  check(): void {
    // Most steps change nothing that is looked at here.
    const [[changes] = []] = this.#rows('changes');
    const seen = `${changes} ${this.#version} ${this.#diskVersion()}`;
    if (seen === this.#seen) return;
    this.#seen = seen;
    this.#checkRows();
    const blobs = new Map(this.#rows('blobs').map((row) => [String(row[0]), row] as const));
    for (const [, row] of blobs) this.#checkFile(String(row[0]) as Digest, String(row[1]), row[2] === 1);
    for (const location of this.snapshot) {
      if (!this.damagedLocations.has(location) && !existsSync(join(this.#blobsFolder, location)))
        throw new Violation(`${location} was removed while a backup copied it`);
    }
    const links = new Map(this.#rows('links').map((row) => [`${row[0]}|${row[1]}`, row] as const));
    for (const [key, [, , unleased, referenced]] of links) {
      if (unleased !== referenced) throw new Violation(`${key} has a lease that does not fit its edges`);
      if (!this.#visible.has(key)) throw new Violation(`${key} is visible, but was never given`);
    }
    this.#checkPromises(links, blobs);
    const manifests = new Set(this.#rows('manifests').map((row) => `${row[0]}|${row[1]}`));
    for (const key of this.#manifests) {
      if (!manifests.has(key)) throw new Violation(`manifest ${key} is gone`);
    }
    const trash = new Set(this.#rows('trash').map((row) => `${row[0]}|${row[1]}`));
    for (const [key, until] of this.#trash) {
      if (this.#uptime() < until && !trash.has(key)) throw new Violation(`deleted ${key} cannot be restored`);
    }
    for (const [name, digest, blobs, children] of this.#rows('shapes')) {
      const [wantedBlobs, wantedChildren] = this.#shapes.get(String(digest)) ?? [];
      if (blobs !== wantedBlobs || children !== wantedChildren)
        throw new Violation(`manifest ${name}|${digest} is not whole`);
    }
    const [[summaries] = []] = this.#rows('wrongSummaries');
    if (summaries !== 0) throw new Violation('the tags of a manifest are counted wrongly');
    const { faults } = findWrongCounts(this.#db);
    if (faults.length > 0) throw new Violation(`counted wrongly: ${JSON.stringify(faults)}`);
    const [[miscounted] = []] = this.#rows('wrongRepositories');
    if (miscounted !== 0) throw new Violation('the tags or bytes of a repository are counted wrongly');
  }

  /** What must be true in the end, when all leases are over and everything was collected. */
  checkQuiet(): void {
    const named = new Set(this.#rows('blobs').map((row) => String(row[1])));
    for (const entry of readdirSync(this.#blobsFolder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const location = join(entry.parentPath, entry.name).slice(this.#blobsFolder.length + 1);
      if (!named.has(location)) throw new Violation(`${location} is left over`);
    }
    const needed = new Set(
      this.#rows('links')
        .filter((row) => row[3] === 1)
        .map((row) => row[1]),
    );
    for (const [digest] of this.#rows('blobs')) {
      if (!needed.has(digest)) throw new Violation(`${digest} is kept, but nothing references it`);
    }
  }

  #touch(key: string): void {
    this.#epochs.set(key, this.epoch(key) + 1);
    this.#promises.delete(key);
    this.#manifests.delete(key);
  }

  #rows(key: keyof Rows): unknown[][] {
    return this.#statements[key].all() as unknown[][];
  }

  #checkRows(): void {
    const [[unlinked] = []] = this.#rows('edgesWithoutLink');
    if (unlinked !== 0) throw new Violation('an edge has no link');
    const [[lost] = []] = this.#rows('edgesWithoutBlob');
    if (lost !== 0) throw new Violation('an edge points at nothing');
    const [queued] = this.#rows('queued');
    if (queued !== undefined) throw new Violation(`${queued[0]} is due to be removed, and a row names it`);
  }

  #checkFile(digest: Digest, location: string, damaged: boolean): void {
    if (this.damagedLocations.has(location)) return;
    if (damaged) throw new Violation(`${digest} is in quarantine, but its file was never spoiled`);
    let content: string | undefined;
    try {
      content = readFileSync(join(this.#blobsFolder, location), 'utf8');
    } catch {
      throw new Violation(`${digest} has a row and no file`);
    }
    if (content !== this.#contents.get(digest))
      throw new Violation(`the file of ${digest} is not its content`);
  }

  #checkPromises(links: ReadonlyMap<string, unknown[]>, blobs: ReadonlyMap<string, unknown[]>): void {
    for (const [key, until] of this.#promises) {
      if (this.#uptime() >= until) {
        this.#promises.delete(key);
        continue;
      }
      if (!links.has(key)) throw new Violation(`${key} was promised and is not linked any more`);
      const blob = blobs.get(key.slice(key.indexOf('|') + 1));
      if (blob === undefined) throw new Violation(`${key} was promised and has no row any more`);
    }
  }
}
