// Events of content as the outside is told of them, by webhooks and by the live stream alike: the event rows in the four actions
// of distribution's notifications and one of Berth's own, each change once.
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { EventStore, RegistryEvent } from '../storage/metadata-store.ts';
import type { HookEvent } from '../storage/webhook-store.ts';

export interface ContentEvent {
  readonly seq: number;
  /** Unix seconds. */
  readonly at: number;
  readonly type: HookEvent;
  /** What it is about. */
  readonly kind: 'manifest' | 'tag' | 'blob' | 'repository';
  readonly repository: RepositoryName;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
  readonly mediaType: string | undefined;
  /** Bytes of the manifest or blob itself. */
  readonly size: number | undefined;
  readonly actor: string;
  /** Of a pull: how many one row stands for. */
  readonly count: number | undefined;
  readonly address: string | undefined;
  readonly userAgent: string | undefined;
  readonly requestId: string | undefined;
}

const blobMediaType = 'application/octet-stream';

/** By the kind of the row. What is not listed is for the audit alone. */
const meanings: Readonly<Record<string, Pick<ContentEvent, 'type' | 'kind'> | undefined>> = {
  push: { type: 'push', kind: 'manifest' },
  tag: { type: 'push', kind: 'tag' },
  delete: { type: 'delete', kind: 'manifest' },
  untag: { type: 'delete', kind: 'tag' },
  unlink: { type: 'delete', kind: 'blob' },
  mount: { type: 'mount', kind: 'blob' },
  pull: { type: 'pull', kind: 'manifest' },
  // A manifest that was deleted is there again.
  restore: { type: 'push', kind: 'manifest' },
  'repository.remove': { type: 'delete', kind: 'repository' },
  // One event for all of its tags, and of a type of its own: a push without a digest would be none to those who know push.
  'repository.restore': { type: 'restore', kind: 'repository' },
};

/**
 * The event as the outside is told of it; undefined: it is not. A push under one tag is two rows in a row, of the manifest and of
 * the tag, and is told once: `previous` is the row before.
 */
export function toContentEvent(
  event: RegistryEvent,
  previous: RegistryEvent | undefined,
): ContentEvent | undefined {
  const meaning = meanings[event.kind];
  const { reference, digest, detail = {} } = event;
  const repository = event.repository ?? repositoryIn(event.object);
  if (meaning === undefined || repository === undefined) return undefined;
  if (event.kind === 'tag' && previous !== undefined && tellsOf(previous, event)) return undefined;
  const { mediaType, size, count } = detail;
  return {
    seq: event.seq,
    at: event.at,
    ...meaning,
    repository: repository as RepositoryName,
    tag: reference,
    digest: digest as Digest | undefined,
    mediaType:
      typeof mediaType === 'string' ? mediaType : meaning.kind === 'blob' ? blobMediaType : undefined,
    size: typeof size === 'number' ? size : undefined,
    actor: event.actor,
    count: typeof count === 'number' ? count : undefined,
    address: event.address,
    userAgent: event.userAgent,
    requestId: event.requestId,
  };
}

/** Changes of a repository as a whole name it as their object. */
function repositoryIn(object: string | undefined): string | undefined {
  return object?.startsWith('repository:') ? object.slice('repository:'.length) : undefined;
}

function tellsOf(push: RegistryEvent, tag: RegistryEvent): boolean {
  return (
    push.kind === 'push' &&
    push.seq === tag.seq - 1 &&
    push.repository === tag.repository &&
    push.reference === tag.reference &&
    push.digest === tag.digest
  );
}

export interface ContentPage {
  readonly items: readonly ContentEvent[];
  /** The seq of the last row that was looked at; `after` where there was none. */
  readonly seen: number;
  readonly more: boolean;
}

/** Looks at up to `limit` rows after `after`, in order. */
export async function readContent(
  events: Pick<EventStore, 'read'>,
  after: number,
  limit: number,
): Promise<ContentPage> {
  // The row before tells whether the first one says anything new.
  const { items: rows, more } = await events.read({ after: after - 1, limit: limit + 1 });
  const items: ContentEvent[] = [];
  for (const [index, row] of rows.entries()) {
    const told = row.seq > after ? toContentEvent(row, rows[index - 1]) : undefined;
    if (told !== undefined) items.push(told);
  }
  return { items, seen: Math.max(after, rows.at(-1)?.seq ?? after), more };
}

/** One event by its seq; undefined where its row is gone, or is not told of. */
export async function findContent(
  events: Pick<EventStore, 'read'>,
  seq: number,
): Promise<ContentEvent | undefined> {
  const { items } = await readContent(events, seq - 1, 1);
  return items.find((event) => event.seq === seq);
}
