// What the management API answers about the care of the store, as far as commands read it.
import type { OperationView } from '../output/progress.ts';

export interface BlobCount {
  readonly blobs: number;
  readonly bytes: number;
}

export type OperationKind = 'gc' | 'scrub' | 'backup' | 'import' | 'retention';

export interface Operation extends OperationView {
  readonly actor: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly startedAt: string;
  readonly endedAt: string | null;
}

export interface CollectionReport {
  readonly dryRun: boolean;
  /** In a dry run and in one that stopped: what would come free. */
  readonly freed: BlobCount & { readonly manifests: number };
  /** `freeFrom` and `freeBy`: when the first and the last of it come free by themselves. */
  readonly held: readonly (BlobCount & {
    readonly reason: string;
    readonly freeFrom?: string;
    readonly freeBy?: string;
  })[];
  readonly now?: boolean;
  readonly files: { readonly removed: number; readonly waiting: number };
  /** Files without a row; `stopped`: too many to come from a crash, or another database was here before: they stay. */
  readonly orphans: BlobCount & { readonly stopped?: string };
  readonly stopped?: string;
  readonly seconds: number;
}

export interface ScrubReport {
  readonly deep: boolean;
  readonly database: { readonly sound: boolean; readonly faults: readonly string[] };
  readonly blobs: {
    readonly checked: number;
    readonly bytes: number;
    readonly damaged: number;
    readonly known: number;
    readonly healed: number;
  };
  readonly unknownFiles: { readonly files: number; readonly bytes: number };
  readonly manifests: { readonly checked: number; readonly damaged: number; readonly edgesMissing: number };
  readonly links: { readonly wrong: number };
  readonly counts: { readonly wrong: number };
  readonly faults: readonly string[];
  readonly repaired: boolean;
  readonly sound: boolean;
}

export interface BackupReport {
  readonly name: string;
  readonly seconds: number;
  readonly blobs: Readonly<Record<'present' | 'linked' | 'copied', number>>;
  readonly bytes: Readonly<Record<'present' | 'linked' | 'copied', number>>;
  readonly damaged: readonly { readonly digest: string; readonly found: string }[];
  readonly verified?: { readonly faults: readonly unknown[] } | null;
  readonly pruned?: {
    readonly removed: readonly string[];
    readonly bytes: number;
    /** Backups that another copy of this registry made. */
    readonly others?: number;
    readonly heldBy?: string;
  } | null;
  /** Why older backups stay. */
  readonly notPruned?: string;
}

export interface ImportFinding {
  readonly kind: string;
  readonly repository: string;
  readonly digest?: string | null;
  readonly tags?: readonly string[] | null;
  readonly detail: string;
}

export interface ImportFigures {
  readonly repositories: { readonly done: number; readonly total: number };
  readonly manifests: { readonly stored: number; readonly present: number };
  readonly tags: { readonly stored: number; readonly present: number };
  readonly blobs: Readonly<Record<'linked' | 'copied' | 'fetched' | 'mounted' | 'present', number>>;
  readonly bytes: number;
  readonly damaged: number;
  readonly found: number;
}

export interface ImportReport extends ImportFigures {
  readonly findings: readonly ImportFinding[];
}

export type { RetentionCounts, RetentionItem, RetentionReport } from '../../registry/retention.ts';

/** A quarantined blob, and what cannot be pulled because of it. */
export interface Damage {
  readonly digest: string;
  readonly size: number;
  readonly damagedAt: string;
  readonly touches: readonly { readonly repository: string; readonly tags: readonly string[] }[];
  /** What to do, as a sentence. */
  readonly heal: string;
}

/** A number, no limit at all, or (null) what the settings say. */
export type QuotaValue = number | 'unlimited' | null;

export interface QuotaUse {
  /** null: the registry as a whole. */
  readonly namespace: string | null;
  readonly kind: string;
  readonly used: { readonly bytes: number; readonly repositories: number };
  /** What was set for it. */
  readonly quota: { readonly bytes: QuotaValue; readonly repositories: QuotaValue };
  /** What holds. */
  readonly limit: { readonly bytes: number | 'unlimited'; readonly repositories: number | 'unlimited' };
}
