// The one place where a tag is set and removed, with its history, its event and the lease of the manifest that it leaves. The
// steps run inside the transaction of the intention that calls them, and nothing else writes the table `tag`.
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import type { ContentDetail, Origin, TagHistoryAction } from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { nextNumber } from './next-number.ts';
import type { Now } from './now.ts';
import type { SharedWrites } from './shared-writes.ts';
import { versionKey } from './version-key.ts';

export const sql = {
  tagTarget: 'SELECT manifest_id FROM tag WHERE repository_id = ? AND name = ?',
  setTag: `INSERT INTO tag (repository_id, name, manifest_id, updated_at, updated_by, version) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET manifest_id = excluded.manifest_id, updated_at = excluded.updated_at,
      updated_by = excluded.updated_by`,
  contentOf: 'SELECT media_type AS mediaType, length(bytes) AS size FROM manifest WHERE id = ?',
  dropTag: 'DELETE FROM tag WHERE repository_id = ? AND name = ?',
  tagsOfManifest: 'SELECT name FROM tag WHERE manifest_id = ? ORDER BY repository_id, name',
  addHistory: `INSERT INTO tag_history (id, repository_id, name, digest, action, at, actor)
    VALUES (${nextNumber('tag_history')}, ?, ?, ?, ?, ?, ?)`,
} as const;

/** A tag of a repository, and who changes it. */
export interface TagChange {
  readonly repository: { readonly id: number; readonly name: RepositoryName };
  readonly tag: Tag;
  readonly origin: Origin;
  /** How it comes that it is set, for its history. */
  readonly action?: TagHistoryAction;
}

/** The manifest that a tag is pointed at. `content`: what is known of it already; else it is looked up for the event. */
export interface TagTarget {
  readonly id: number;
  readonly digest: Digest;
  readonly content?: ContentDetail;
}

export class TagWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #shared: SharedWrites;

  constructor(db: Connection, shared: SharedWrites) {
    this.#shared = shared;
    this.#statements = prepareAll(db, sql);
    for (const key of ['tagTarget', 'tagsOfManifest'] as const) this.#statements[key].pluck();
  }

  /**
   * Points the tag at a manifest of the repository. False where it points there already: then nothing is written. Throws
   * TagProtectedError where a rule keeps the tag where it is.
   */
  set(now: Now, change: TagChange, manifest: TagTarget): boolean {
    const { repository, tag, origin, action = 'push' } = change;
    const previous = this.#statements.tagTarget.get(repository.id, tag) as number | undefined;
    if (previous === manifest.id) return false;
    if (previous !== undefined) this.#shared.protection.admit({ act: 'move', ...place(change) });
    this.#statements.setTag.run(repository.id, tag, manifest.id, now.at, origin.actor, versionKey(tag));
    if (previous !== undefined) this.#shared.raiseManifestLease(now, previous);
    this.#shared.raiseManifestLease(now, manifest.id);
    this.#statements.addHistory.run(repository.id, tag, manifest.digest, action, now.at, origin.actor);
    this.#shared.events.addContent(now, 'tag', origin, {
      repository: repository.name,
      reference: tag,
      digest: manifest.digest,
      detail: manifest.content ?? (this.#statements.contentOf.get(manifest.id) as ContentDetail),
    });
    return true;
  }

  /** Removes the tag alone; its manifest stays. False when there was none. Throws TagProtectedError where a rule keeps it. */
  remove(now: Now, change: TagChange): boolean {
    const { repository, tag, origin } = change;
    const manifestId = this.#statements.tagTarget.get(repository.id, tag) as number | undefined;
    if (manifestId === undefined) return false;
    this.#shared.protection.admit({ act: 'delete', ...place(change) });
    this.#statements.dropTag.run(repository.id, tag);
    this.#shared.raiseManifestLease(now, manifestId);
    this.#statements.addHistory.run(repository.id, tag, null, 'delete', now.at, origin.actor);
    this.#shared.events.addContent(now, 'untag', origin, { repository: repository.name, reference: tag });
    return true;
  }

  /** Throws TagProtectedError where a rule keeps one of the manifest's tags, and so the manifest. */
  admitManifestRemoval(
    repository: RepositoryName,
    manifest: { readonly digest: Digest; readonly tags: readonly Tag[] },
    origin: Origin,
  ): void {
    const { digest, tags } = manifest;
    for (const tag of tags)
      this.#shared.protection.admit({ act: 'delete manifest', repository, tag, origin, digest });
  }

  /** The tags that point at a manifest, in bytewise order. */
  listOf(manifestId: number): readonly Tag[] {
    return this.#statements.tagsOfManifest.all(manifestId) as Tag[];
  }
}

function place({ repository, tag, origin }: TagChange) {
  return { repository: repository.name, tag, origin };
}
