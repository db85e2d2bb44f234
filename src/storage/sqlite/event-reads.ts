// The reads of events: in order for whoever follows them, by filter and newest first for the audit, and a tag's past.
import { setImmediate } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { Tag } from '../../oci/reference.ts';
import {
  type AuditFilter,
  auditActions,
  type EventStore,
  type Page,
  type RegistryEvent,
  type TagHistoryEntry,
} from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import { toPage } from './reads.ts';

const columns = `seq, at, kind, actor, outcome, repository, reference, digest, object, namespace, address,
  user_agent AS userAgent, request_id AS requestId, detail`;

/** A part of a walk: what an index finds (`through`), from `before` down to `floor`, and the rest of the filter. */
const walk = (through: string) => `SELECT ${columns} FROM event
  WHERE ${through} AND seq < @before AND seq >= @floor
    AND (@actor IS NULL OR +actor = @actor) AND (@action IS NULL OR +kind = @action)
    AND (@object IS NULL OR +object = @object) AND (@repository IS NULL OR +repository = @repository)
    AND (@namespace IS NULL OR +namespace = @namespace) AND (@outcome IS NULL OR +outcome = @outcome)
    AND (@since IS NULL OR +at >= @since) AND (@until IS NULL OR +at < @until)
  ORDER BY seq DESC LIMIT @limit`;
/** Where a part of a walk ends that looks at `@step` events. */
const stride = (through: string) => `SELECT seq FROM event WHERE ${through} AND seq < @before
  ORDER BY seq DESC LIMIT 1 OFFSET @step`;

const through = {
  object: 'object = @object',
  repository: 'repository = @repository',
  actor: 'actor = @actor',
  action: 'repository IS NULL AND kind = @action',
  namespace: 'namespace = @namespace',
  refused: `outcome = 'refused'`,
  all: 'seq > 0',
} as const;

export const sql = {
  events: `SELECT ${columns} FROM event WHERE seq > ? ORDER BY seq LIMIT ?`,
  newest: 'SELECT max(seq) FROM event',
  oldest: 'SELECT min(seq) FROM event',
  tagHistory: `SELECT h.digest, h.action, h.at, h.actor FROM repository r
    JOIN tag_history h ON h.repository_id = r.id AND h.name = ?
    WHERE r.name = ? AND r.state <> 'deleted' ORDER BY h.id DESC LIMIT ?`,
  within: 'SELECT seq FROM event WHERE at >= ? AND at < ? LIMIT ?',
  walkObject: walk(through.object),
  walkRepository: walk(through.repository),
  walkActor: walk(through.actor),
  walkAction: walk(through.action),
  walkNamespace: walk(through.namespace),
  walkRefused: walk(through.refused),
  walkAll: walk(through.all),
  strideObject: stride(through.object),
  strideRepository: stride(through.repository),
  strideActor: stride(through.actor),
  strideAction: stride(through.action),
  strideNamespace: stride(through.namespace),
  strideRefused: stride(through.refused),
  strideAll: stride(through.all),
} as const;

/** Events looked at in one turn of the event loop: a few milliseconds. */
const stepEvents = 5000;

interface EventRow {
  readonly seq: number;
  readonly at: number;
  readonly kind: RegistryEvent['kind'];
  readonly actor: string;
  readonly outcome: RegistryEvent['outcome'];
  readonly repository: string | null;
  readonly reference: string | null;
  readonly digest: string | null;
  readonly object: string | null;
  readonly namespace: string | null;
  readonly address: string | null;
  readonly userAgent: string | null;
  readonly requestId: string | null;
  readonly detail: string | null;
}

const toEvent = (row: EventRow): RegistryEvent => ({
  seq: row.seq,
  at: row.at,
  kind: row.kind,
  actor: row.actor,
  outcome: row.outcome,
  repository: row.repository ?? undefined,
  reference: row.reference ?? undefined,
  digest: row.digest ?? undefined,
  object: row.object ?? undefined,
  namespace: row.namespace ?? undefined,
  address: row.address ?? undefined,
  userAgent: row.userAgent ?? undefined,
  requestId: row.requestId ?? undefined,
  detail: row.detail === null ? undefined : (JSON.parse(row.detail) as Record<string, unknown>),
});

const actions: ReadonlySet<string> = new Set(auditActions);

/** The part of a filter that leaves the fewest events to look through. */
function choose({ object, repository, actor, action, namespace, outcome }: AuditFilter) {
  if (object !== undefined) return 'Object';
  if (repository !== undefined) return 'Repository';
  // Before the actor: there are few changes of access, and machines push a lot.
  if (action !== undefined && action !== 'sign-in' && actions.has(action)) return 'Action';
  if (outcome === 'refused') return 'Refused';
  if (actor !== undefined) return 'Actor';
  if (namespace !== undefined) return 'Namespace';
  if (action === 'sign-in') return 'Action';
  return 'All';
}

export type EventReads = ReturnType<typeof makeEventReads>;

/** `ask` runs each step of an audit and tells faults apart. */
export function makeEventReads(db: Connection) {
  const statements: Readonly<Record<keyof typeof sql, Statement>> = prepareAll(db, sql);
  for (const key of Object.keys(sql) as (keyof typeof sql)[])
    if (key.startsWith('stride') || ['within', 'newest', 'oldest'].includes(key)) statements[key].pluck();
  statements.tagHistory.raw();

  /** The first and last event of a time, where it holds few: exact, also after somebody set the clock. */
  const boundsOf = (filter: AuditFilter): { readonly floor: number; readonly ceiling: number } => {
    const everything = { floor: 0, ceiling: Number.MAX_SAFE_INTEGER };
    if (filter.since === undefined) return everything;
    const until = filter.until ?? Number.MAX_SAFE_INTEGER;
    const within = statements.within.all(filter.since, until, stepEvents + 1) as number[];
    if (within.length > stepEvents) return everything;
    return within.reduce(
      ({ floor, ceiling }, seq) => ({ floor: Math.min(floor, seq), ceiling: Math.max(ceiling, seq + 1) }),
      { floor: Number.MAX_SAFE_INTEGER, ceiling: 0 },
    );
  };

  return {
    readEvents(options: { after: number; limit: number }): Page<RegistryEvent> {
      const rows = statements.events.all(options.after, options.limit + 1) as EventRow[];
      return toPage(rows.map(toEvent), options.limit);
    },

    newestEvent: () => (statements.newest.get() as number | null) ?? 0,
    oldestEvent: () => (statements.oldest.get() as number | null) ?? undefined,

    async auditEvents(
      { filter, before, limit }: Parameters<EventStore['audit']>[0],
      ask: <Result>(read: () => Result) => Promise<Result>,
    ): Promise<Page<RegistryEvent>> {
      const index = choose(filter);
      const { floor, ceiling } = await ask(() => boundsOf(filter));
      const events: RegistryEvent[] = [];
      let from = Math.min(before ?? ceiling, ceiling);
      while (from > floor && events.length <= limit) {
        const given = { ...unfiltered, ...definedOf(filter), before: from };
        const end = await ask(
          () => statements[`stride${index}`].get({ ...given, step: stepEvents }) as number | undefined,
        );
        const part = { ...given, floor: Math.max(end ?? 0, floor), limit: limit + 1 - events.length };
        const rows = await ask(() => statements[`walk${index}`].all(part) as EventRow[]);
        events.push(...rows.map(toEvent));
        if (end === undefined) break;
        from = end;
        await setImmediate();
      }
      return toPage(events, limit);
    },

    tagHistory(repository: RepositoryName, tag: Tag, limit: number): readonly TagHistoryEntry[] {
      const rows = statements.tagHistory.all(tag, repository, limit) as [
        Digest | null,
        TagHistoryEntry['action'],
        number,
        string,
      ][];
      return rows.map(([digest, action, at, actor]) => ({
        name: tag,
        digest: digest ?? undefined,
        action,
        at,
        actor,
      }));
    },
  };
}

const unfiltered = {
  actor: null,
  action: null,
  object: null,
  repository: null,
  namespace: null,
  outcome: null,
  since: null,
  until: null,
} as const satisfies Record<keyof AuditFilter, null>;

const definedOf = (filter: AuditFilter): AuditFilter =>
  Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
