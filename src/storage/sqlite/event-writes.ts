// Event rows: the audit log and the source of webhooks. A change writes its event in its own transaction.
import { namespaceOf, type RepositoryName } from '../../oci/name.ts';
import type {
  AuditAction,
  ContentDetail,
  EventKind,
  EventStore,
  Origin,
  SignIns,
} from '../metadata-store.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';

export const sql = {
  addEvent: `INSERT INTO event (at, kind, actor, outcome, repository, reference, digest, object, namespace, address,
    user_agent, request_id, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  dropEvents: 'DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE at < ? ORDER BY at LIMIT ?)',
  enabledHook: 'SELECT 1 FROM webhook WHERE enabled = 1 AND removed_at IS NULL AND id > 0 LIMIT 1',
} as const;

/** A client may send a header of kilobytes with each request. */
const longestUserAgent = 256;

/** A webhook is tried for a day; an event that it is about is not dropped meanwhile, however short audit.keep is. */
const keptForHooksSeconds = 2 * 86_400;

interface EventRow {
  readonly at: number;
  readonly kind: EventKind | AuditAction;
  readonly origin: Origin;
  readonly outcome?: 'allowed' | 'refused';
  readonly repository?: RepositoryName;
  readonly reference?: string | undefined;
  readonly digest?: string | undefined;
  readonly object?: string;
  readonly namespace?: string | undefined;
  readonly detail?: object | undefined;
}

/** A change of who may what. `before` and `after` tell of it without secrets; undefined: there was, or is, nothing. */
export interface Change {
  readonly action: AuditAction;
  readonly object: string;
  readonly namespace?: string | undefined;
  readonly before?: Readonly<Record<string, unknown>> | undefined;
  readonly after?: Readonly<Record<string, unknown>> | undefined;
}

export class EventWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;

  constructor(db: Connection) {
    this.#statements = prepareAll(db, sql);
  }

  /** Tells of a change of content. */
  addContent(
    now: Now,
    kind: EventKind,
    origin: Origin,
    about: {
      readonly repository: RepositoryName;
      readonly reference?: string | undefined;
      readonly digest?: string | undefined;
      readonly detail?: ContentDetail | undefined;
    },
  ): void {
    this.#add({ at: now.at, kind, origin, ...about, namespace: namespaceOf(about.repository) });
  }

  /** Tells of a change of access. */
  addChange(now: Now, origin: Origin, change: Change): void {
    const { action, object, namespace, before, after } = change;
    const detail = { ...(before && { before }), ...(after && { after }) };
    this.#add({ at: now.at, kind: action, origin, object, namespace, detail });
  }

  recordSignIns(_now: Now, signIns: readonly SignIns[]): void {
    for (const { at, account, address, userAgent, outcome, count } of signIns) {
      const origin = { actor: account, address, userAgent };
      this.#add({ at: Math.floor(at), kind: 'sign-in', origin, outcome, detail: { count } });
    }
  }

  recordEvent(now: Now, input: Parameters<EventStore['record']>[0]): void {
    const { action, object, detail, origin } = input;
    this.#add({ at: now.at, kind: action, origin, object, detail });
  }

  dropEvents(now: Now, input: { readonly at: number; readonly limit: number }): number {
    const isFollowed = this.#statements.enabledHook.get() !== undefined;
    const before = isFollowed ? Math.min(input.at, now.at - keptForHooksSeconds) : input.at;
    return this.#statements.dropEvents.run(Math.floor(before), input.limit).changes;
  }

  #add(event: EventRow): void {
    const { origin } = event;
    this.#statements.addEvent.run(
      event.at,
      event.kind,
      origin.actor,
      event.outcome ?? 'allowed',
      event.repository ?? null,
      event.reference ?? null,
      event.digest ?? null,
      event.object ?? null,
      event.namespace ?? null,
      origin.address ?? null,
      origin.userAgent?.slice(0, longestUserAgent) ?? null,
      origin.requestId ?? null,
      event.detail === undefined ? null : JSON.stringify(event.detail),
    );
  }
}
