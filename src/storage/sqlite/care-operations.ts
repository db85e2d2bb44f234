// The rows of long work: intentions and reads.
import type {
  EndState,
  Operation,
  OperationKind,
  OperationProgress,
  OperationReport,
  OperationState,
} from '../care-store.ts';
import type { Origin, Page } from '../metadata-store.ts';
import { type Connection, prepareAll } from './connection.ts';
import type { Now } from './now.ts';

/** What toOperation reads. */
export const operationColumns = 'id, kind, state, actor, request, done, total, started_at, ended_at, report';

export const sql = {
  openOfKind: `SELECT id FROM operation WHERE kind = ? AND state IN ('running', 'paused') ORDER BY id LIMIT 1`,
  addOperation: `INSERT INTO operation (kind, state, actor, request, started_at) VALUES (?, 'running', ?, ?, ?)`,
  noteOperation: `UPDATE operation SET state = ?, done = ?, total = ?, report = ? WHERE id = ? AND ended_at IS NULL`,
  endOperation: `UPDATE operation SET state = ?, done = ?, total = ?, report = ?, ended_at = ?
    WHERE id = ? AND ended_at IS NULL`,
  interruptOperations: `UPDATE operation SET state = 'interrupted', ended_at = ? WHERE state IN ('running', 'paused')`,
  operation: `SELECT ${operationColumns} FROM operation WHERE id = ?`,
  operations: `SELECT ${operationColumns} FROM operation WHERE id < ? ORDER BY id DESC LIMIT ?`,
  operationsOfKind: `SELECT ${operationColumns} FROM operation WHERE kind = ? AND id < ? ORDER BY id DESC LIMIT ?`,
  operationsInState: `SELECT ${operationColumns} FROM operation WHERE state = ? AND id < ? ORDER BY id DESC LIMIT ?`,
  operationsOfKindInState: `SELECT ${operationColumns} FROM operation WHERE kind = ? AND state = ? AND id < ?
    ORDER BY id DESC LIMIT ?`,
} as const;

/** The intentions on operations over the connection that writes. */
export function makeOperationIntentions(db: Connection) {
  const statements = prepareAll(db, sql);
  const openOfKind = statements.openOfKind.pluck();
  return {
    beginOperation(
      now: Now,
      input: { kind: OperationKind; request: OperationReport; origin: Origin },
    ): { readonly outcome: 'begun' | 'same-kind'; readonly id: number } {
      const open = openOfKind.get(input.kind) as number | undefined;
      if (open !== undefined) return { outcome: 'same-kind', id: open };
      const { origin, kind, request } = input;
      const added = statements.addOperation.run(kind, origin.actor, JSON.stringify(request), now.at);
      return { outcome: 'begun', id: Number(added.lastInsertRowid) };
    },

    noteOperation(_now: Now, input: { id: number; progress: OperationProgress }): void {
      const { state, ...rest } = input.progress;
      statements.noteOperation.run(state, ...figures(rest), input.id);
    },

    endOperation(now: Now, input: { id: number; result: OperationProgress & { end: EndState } }): void {
      const { end, ...rest } = input.result;
      statements.endOperation.run(end, ...figures(rest), now.at, input.id);
    },

    interruptOperations(now: Now, _input: undefined): number {
      return statements.interruptOperations.run(now.at).changes;
    },
  };
}

/** The reads of operations. */
export function makeOperationReads(db: Connection) {
  const statements = prepareAll(db, sql);
  for (const key of [
    'operation',
    'operations',
    'operationsOfKind',
    'operationsInState',
    'operationsOfKindInState',
  ] as const)
    statements[key].raw();
  return {
    find(id: number): Operation | undefined {
      const row = statements.operation.get(id) as Row | undefined;
      return row && toOperation(row);
    },

    list(options: {
      kind?: OperationKind | undefined;
      state?: OperationState | undefined;
      before?: number | undefined;
      limit: number;
    }): Page<Operation> {
      const { kind, state, before = Number.MAX_SAFE_INTEGER, limit } = options;
      const page = [before, limit + 1];
      const rows = (
        kind !== undefined && state !== undefined
          ? statements.operationsOfKindInState.all(kind, state, ...page)
          : kind !== undefined
            ? statements.operationsOfKind.all(kind, ...page)
            : state !== undefined
              ? statements.operationsInState.all(state, ...page)
              : statements.operations.all(...page)
      ) as Row[];
      return { items: rows.slice(0, limit).map(toOperation), more: rows.length > limit };
    },
  };
}

type Row = [
  number,
  OperationKind,
  OperationState,
  string,
  string,
  number | null,
  number | null,
  number,
  number | null,
  string | null,
];

export function toOperation(row: Row): Operation {
  const [id, kind, state, actor, request, done, total, startedAt, endedAt, report] = row;
  return {
    id,
    kind,
    state,
    actor,
    request: JSON.parse(request) as OperationReport,
    done: done ?? undefined,
    total: total ?? undefined,
    startedAt,
    endedAt: endedAt ?? undefined,
    report: report === null ? undefined : (JSON.parse(report) as OperationReport),
  };
}

function figures(progress: Omit<OperationProgress, 'state'>) {
  const { done, total, report } = progress;
  // The columns are integers, and a share of a byte is nothing that anybody reads.
  const whole = (figure: number | undefined) => (figure === undefined ? null : Math.round(figure));
  return [whole(done), whole(total), report === undefined ? null : JSON.stringify(report)] as const;
}
