// The contract of the care of the store: long work, and what the collector, the scrub and quotas read and change. Like the rest
// of the metadata store, each method is one complete intention and, where it writes, exactly one durable transaction.
import type { Origin, Page } from './origin.ts';

export interface CareStore {
  readonly operations: OperationStore;
}

// ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────────

export const operationKinds = ['gc', 'scrub', 'backup', 'import', 'retention'] as const;
export type OperationKind = (typeof operationKinds)[number];

export const operationStates = ['running', 'paused', 'done', 'failed', 'cancelled', 'interrupted'] as const;
/** `interrupted`: the process ended before the work did. */
export type OperationState = (typeof operationStates)[number];
export type EndState = Exclude<OperationState, 'running' | 'paused'>;

/** What an operation tells of itself: plain JSON. */
export type OperationReport = Readonly<Record<string, unknown>>;

export interface Operation {
  readonly id: number;
  readonly kind: OperationKind;
  readonly state: OperationState;
  readonly actor: string;
  /** What was asked for. */
  readonly request: OperationReport;
  readonly done: number | undefined;
  readonly total: number | undefined;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  /** While it runs what it told last, afterwards its result. */
  readonly report: OperationReport | undefined;
}

export interface OperationProgress {
  readonly state: 'running' | 'paused';
  readonly done: number | undefined;
  readonly total: number | undefined;
  readonly report: OperationReport | undefined;
}

export interface OperationStore {
  /** Opens a row in state `running`, unless one of that kind has not ended: then `same-kind` with its id. */
  begin(options: {
    readonly kind: OperationKind;
    readonly request: OperationReport;
    readonly origin: Origin;
  }): Promise<{ readonly outcome: 'begun' | 'same-kind'; readonly id: number }>;
  /** Notes how far it is. Nothing when it has ended. */
  note(id: number, progress: OperationProgress): Promise<void>;
  /** Ends it. Nothing when it has ended already. */
  end(id: number, result: OperationProgress & { readonly end: EndState }): Promise<void>;
  /** What a process that was killed left running is `interrupted` from now on. Call it once, before the first begin. */
  interruptAll(): Promise<number>;
  find(id: number): Promise<Operation | undefined>;
  /** Newest first, beginning before `before` (an id). */
  list(options: {
    readonly kind?: OperationKind | undefined;
    readonly state?: OperationState | undefined;
    readonly before?: number | undefined;
    readonly limit: number;
  }): Promise<Page<Operation>>;
}
