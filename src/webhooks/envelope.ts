// The bodies of deliveries: distribution's notification envelope, and CloudEvents 1.0 in structured JSON.
import type { HookFormat } from '../storage/webhook-store.ts';
import type { ContentEvent } from './content-events.ts';

/** An event, or one that somebody sends to see whether it arrives. */
export type SentEvent = Omit<ContentEvent, 'type'> & { readonly type: ContentEvent['type'] | 'test' };

/** What an envelope tells of the registry that sends it. */
export interface Source {
  /** The base of links, without a trailing slash. */
  readonly url: string;
  /** What the registry calls itself. */
  readonly instance: string;
}

export interface Envelope {
  readonly contentType: string;
  readonly body: Buffer;
}

const methods = {
  push: 'PUT',
  delete: 'DELETE',
  pull: 'GET',
  mount: 'POST',
  restore: 'POST',
  test: 'POST',
} as const;

/** The same for every attempt, and for every hook: whoever sees it twice knows the event. */
export function eventId(event: Pick<ContentEvent, 'seq'>, { instance }: Source): string {
  return `${instance}-${event.seq}`;
}

export function envelopeOf(format: HookFormat, id: string, event: SentEvent, source: Source): Envelope {
  return format === 'distribution' ? distribution(id, event, source) : cloudEvent(id, event, source);
}

/** distribution 2 and 3: notifications/event.go. Members without a value are left out there, too. */
function distribution(id: string, event: SentEvent, source: Source): Envelope {
  const { mediaType, size, digest, repository, tag } = event;
  const record = {
    id,
    timestamp: timeText(event.at),
    action: event.type,
    target: {
      ...(mediaType === undefined ? {} : { mediaType }),
      ...(size === undefined ? {} : { size, length: size }),
      ...(digest === undefined ? {} : { digest }),
      repository,
      ...(digest === undefined || event.type === 'delete' ? {} : { url: linkTo(event, source) }),
      ...(tag === undefined ? {} : { tag }),
    },
    request: {
      id: event.requestId ?? '',
      ...(event.address === undefined ? {} : { addr: event.address }),
      host: new URL(source.url).host,
      method: methods[event.type],
      useragent: event.userAgent ?? '',
    },
    actor: { name: event.actor },
    source: { addr: new URL(source.url).host, instanceID: source.instance },
  };
  return {
    contentType: 'application/vnd.docker.distribution.events.v2+json',
    body: Buffer.from(JSON.stringify({ events: [record] })),
  };
}

function cloudEvent(id: string, event: SentEvent, source: Source): Envelope {
  const body = {
    specversion: '1.0',
    id,
    source: source.url,
    type: `berth.${event.type}`,
    subject: subjectOf(event),
    time: timeText(event.at),
    datacontenttype: 'application/json',
    data: { ...showContent(event), address: event.address ?? null },
  };
  return {
    contentType: 'application/cloudevents+json; charset=utf-8',
    body: Buffer.from(JSON.stringify(body)),
  };
}

/** An event as JSON tells of it: in the live stream, and as the data of a CloudEvent. */
export function showContent(event: SentEvent) {
  return {
    id: event.seq,
    at: timeText(event.at),
    type: event.type,
    kind: event.kind,
    repository: event.repository,
    tag: event.tag ?? null,
    digest: event.digest ?? null,
    mediaType: event.mediaType ?? null,
    size: event.size ?? null,
    actor: event.actor,
    ...(event.count === undefined ? {} : { count: event.count }),
  };
}

function subjectOf({ repository, tag, digest }: SentEvent): string {
  if (tag !== undefined) return `${repository}:${tag}`;
  return digest === undefined ? repository : `${repository}@${digest}`;
}

function linkTo({ kind, repository, digest }: SentEvent, source: Source): string {
  return `${source.url}/v2/${repository}/${kind === 'blob' ? 'blobs' : 'manifests'}/${digest}`;
}

function timeText(at: number): string {
  return new Date(at * 1000).toISOString();
}
