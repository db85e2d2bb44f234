// What an import did and what it left out, as people and programs read it.
import type { Digest } from '../oci/digest.ts';
import type { Origin } from '../storage/metadata-store.ts';

/** Who did what an import did, in history and events. */
export const importOrigin: Origin = { actor: 'import' };

/**
 * damaged: other bytes than the digest says; missing: no bytes; unreadable: the medium or the remote failed; schema1: a Docker
 * schema 1 manifest; invalid: a document, a name or a tag that no registry of today takes; incomplete: it needs something
 * that is not there; deleted: a tag that leads nowhere, a repository without tags; refused: not allowed, there or here; kept: the tag was changed here
 * by somebody, or is protected, and stays.
 */
export type FindingKind =
  | 'damaged'
  | 'missing'
  | 'unreadable'
  | 'schema1'
  | 'invalid'
  | 'incomplete'
  | 'deleted'
  | 'refused'
  | 'kept';

export interface Finding {
  readonly kind: FindingKind;
  readonly repository: string;
  readonly digest?: Digest | undefined;
  /** Tags that are affected. */
  readonly tags?: readonly string[] | undefined;
  readonly detail: string;
}

const damageKinds: readonly FindingKind[] = ['damaged', 'missing', 'unreadable'];

/** More are only counted. */
const mostFindings = 1000;

export class ImportReport {
  readonly repositories = { done: 0, total: 0 };
  /** `present`: was here already. */
  readonly manifests = { stored: 0, present: 0 };
  readonly tags = { stored: 0, present: 0 };
  /** By the way they came; `mounted`: from another repository here. */
  readonly blobs = { linked: 0, copied: 0, fetched: 0, mounted: 0, present: 0 };
  bytes = 0;
  /** Findings that tell of damage in the source. */
  damaged = 0;
  /** Findings in all. */
  found = 0;
  readonly findings: Finding[] = [];

  note(finding: Finding): void {
    this.found++;
    if (damageKinds.includes(finding.kind)) this.damaged++;
    if (this.findings.length < mostFindings) this.findings.push(finding);
  }

  /** The figures without the findings, for progress. */
  figures(): Readonly<Record<string, unknown>> {
    const { repositories, manifests, tags, blobs, bytes, damaged, found } = this;
    return {
      repositories: { ...repositories },
      manifests: { ...manifests },
      tags: { ...tags },
      blobs: { ...blobs },
      bytes,
      damaged,
      found,
    };
  }

  toJSON(): Readonly<Record<string, unknown>> {
    return { ...this.figures(), findings: this.findings };
  }
}
