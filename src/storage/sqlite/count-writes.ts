// The intention that puts wrong counts right. What is counted changes meanwhile: a sum is moved by what it was off, which
// holds whatever was pushed since; what is counted of one blob or one manifest is counted again.

import { mediaTypes } from '../../oci/media-types.ts';
import type { CountFault } from '../care-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { IndexSizes } from './index-sizes.ts';
import type { Now } from './now.ts';

export const sql = {
  moveTotal: 'UPDATE total SET items = items + ?, bytes = bytes + ? WHERE kind = ?',
  moveManifests: 'UPDATE repository SET manifests = max(0, manifests + ?) WHERE id = ?',
  moveTags: 'UPDATE repository SET tags = tags + ? WHERE id = ?',
  moveTaken: 'UPDATE repository SET linked_bytes = linked_bytes + ?, own_bytes = own_bytes + ? WHERE id = ?',
  moveTagged: 'UPDATE manifest_summary SET tags = tags + ? WHERE manifest_id = ?',
  addSummary: `INSERT INTO manifest_summary (manifest_id, repository_id, kind, size, tags, pulled_at)
    SELECT m.id, m.repository_id,
      CASE WHEN m.media_type IN ('${mediaTypes.ociIndex}', '${mediaTypes.dockerList}') THEN 'index'
        WHEN m.media_type = '${mediaTypes.ociArtifact}' THEN 'artifact' ELSE 'image' END,
      m.image_bytes, (SELECT count(*) FROM tag t WHERE t.manifest_id = m.id),
      coalesce((SELECT p.last_at FROM pull_count p WHERE p.manifest_id = m.id), 0)
    FROM manifest m WHERE m.id = ? ON CONFLICT DO NOTHING`,
  setSize: `UPDATE manifest_summary SET size = (SELECT m.image_bytes FROM manifest m WHERE m.id = manifest_summary.manifest_id)
    WHERE manifest_id = ? AND kind <> 'index'`,
  moveUsed: 'UPDATE namespace SET used_bytes = used_bytes + ? WHERE id = ?',
  links: `SELECT count(*) FROM repository_blob l CROSS JOIN repository r ON r.id = l.repository_id
    WHERE l.blob_id = ? AND r.namespace_id = ?`,
  setLinks: `INSERT INTO namespace_blob (namespace_id, blob_id, links) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET links = excluded.links`,
  dropLinks: 'DELETE FROM namespace_blob WHERE namespace_id = ? AND blob_id = ?',
} as const;

export class CountWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #sizes: IndexSizes;

  constructor(db: Connection) {
    this.#statements = prepareAll(db, sql);
    this.#statements.links.pluck();
    this.#sizes = new IndexSizes(db);
  }

  repairCounts(_now: Now, faults: readonly CountFault[]): void {
    for (const fault of faults) this.#repair(fault);
  }

  #repair(fault: CountFault): void {
    const { moveTotal, moveManifests, moveTags, moveTaken, moveTagged, moveUsed, addSummary, setSize } =
      this.#statements;
    switch (fault.count) {
      case 'total':
        moveTotal.run(fault.items, fault.bytes, fault.of);
        break;
      case 'manifests':
        moveManifests.run(fault.items, fault.id);
        break;
      case 'tags':
        moveTags.run(fault.items, fault.id);
        break;
      case 'taken':
        moveTaken.run(fault.linkedBytes, fault.ownBytes, fault.id);
        break;
      case 'summary':
        addSummary.run(fault.id);
        this.#sizes.measure(fault.id);
        break;
      case 'size':
        setSize.run(fault.id);
        this.#sizes.measure(fault.id);
        break;
      case 'tagged':
        moveTagged.run(fault.items, fault.id);
        break;
      case 'used':
        moveUsed.run(fault.bytes, fault.id);
        break;
      case 'links':
        this.#countLinks(fault.namespaceId, fault.blobId);
        break;
    }
  }

  #countLinks(namespaceId: number, blobId: number): void {
    const links = this.#statements.links.get(blobId, namespaceId) as number;
    if (links > 0) this.#statements.setLinks.run(namespaceId, blobId, links);
    else this.#statements.dropLinks.run(namespaceId, blobId);
  }
}
