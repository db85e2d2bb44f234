// The kinds of long work that somebody may ask for, each as an operation. Whoever runs the registry says how they are done
// (cli/care.ts): the drivers that a backup reads are known there alone.
import type { OperationReport } from '../storage/care-store.ts';
import type { Origin } from '../storage/metadata-store.ts';
import type { CollectionRequest } from './collector.ts';
import type { RetentionRequest } from './retention.ts';
import type { ScrubRequest } from './scrub.ts';

export interface BackupTask {
  /** An absolute path of this machine. */
  readonly destination: string;
  /** How many backups stay there; undefined: all. */
  readonly keep?: number | undefined;
  readonly verify: boolean;
}

/** How an import is done, whatever it reads. */
export interface ImportManner {
  /** Names or patterns; all when undefined. */
  readonly repositories?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Manifests and blobs at a time. */
  readonly parallel?: number | undefined;
  /** Moves tags, too, that somebody else has set here since. */
  readonly overwrite?: boolean | undefined;
}

export type ImportTask = ImportManner &
  (
    | { readonly type: 'distribution'; readonly path: string; readonly link?: boolean | undefined }
    | {
        readonly type: 'oci';
        readonly path: string;
        readonly repository?: string | undefined;
        readonly link?: boolean | undefined;
      }
    | {
        readonly type: 'registry';
        readonly url: string;
        readonly credentials?: { readonly username: string; readonly password: string } | undefined;
        /** Certificates to trust beside those of this machine, PEM. */
        readonly certificate?: string | undefined;
      }
  );

/** Each begins an operation and resolves with its id. All throw SameKindRunningError where one of the kind has not ended. */
export interface CareTasks {
  collect(request: CollectionRequest, origin: Origin): Promise<number>;
  scrub(request: ScrubRequest, origin: Origin): Promise<number>;
  backUp(request: BackupTask, origin: Origin): Promise<number>;
  importFrom(request: ImportTask, origin: Origin): Promise<number>;
  retain(request: RetentionRequest, origin: Origin): Promise<number>;
  /** When the next collection, backup or retention begins by itself; undefined: none does. */
  nextRun(kind: 'gc' | 'backup' | 'retention'): Date | undefined;
}

/** What of an import is shown and goes into its row, where others read it. */
export function shownImport(task: ImportTask): OperationReport {
  if (task.type !== 'registry') return { source: { ...task } };
  const { credentials, certificate: _certificate, ...rest } = task;
  return { source: { ...rest, ...(credentials === undefined ? {} : { username: credentials.username }) } };
}
