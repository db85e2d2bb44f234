// One live stream of events: read from the rows as fast as the reader takes them, so that a slow one costs no memory, and judged
// anew at each event.
import { Readable } from 'node:stream';
import type { Principal } from '../../../auth/access.ts';
import { matchesPattern } from '../../../auth/pattern.ts';
import type { HookEvent } from '../../../storage/webhook-store.ts';
import { type ContentEvent, readContent } from '../../../webhooks/content-events.ts';
import { showContent } from '../../../webhooks/envelope.ts';
import type { ApiContext } from './context.ts';

/** Without news a comment keeps proxies from closing the connection, and shows who has gone. */
const silenceMilliseconds = 15_000;
const rowsAtOnce = 100;
const mostStreams = 500;
const mostOfOne = 20;

/** The places of streams: each holds a connection for as long as it likes. */
export class EventStreams {
  readonly #open = new Map<string, number>();
  #total = 0;

  /** undefined where too many are open. */
  take(name: string): { leave(): void } | undefined {
    const own = this.#open.get(name) ?? 0;
    if (own >= mostOfOne || this.#total >= mostStreams) return undefined;
    this.#open.set(name, own + 1);
    this.#total += 1;
    return {
      leave: () => {
        this.#total -= 1;
        const left = (this.#open.get(name) ?? 1) - 1;
        if (left > 0) this.#open.set(name, left);
        else this.#open.delete(name);
      },
    };
  }
}

export interface Wanted {
  readonly principal: Principal;
  readonly types: readonly HookEvent[];
  readonly pattern: string | undefined;
  /** The event that was seen last; undefined: from now on. */
  readonly after: number | undefined;
}

/** `leave` ends it once the reader is gone. */
export function tellEvents(context: ApiContext, wanted: Wanted): { readonly body: Readable; leave(): void } {
  const news = new News(context);
  return {
    body: Readable.from(tell(context, wanted, news), { objectMode: true, highWaterMark: 1 }),
    leave: () => news.leave(),
  };
}

/** Waits for what is new, for silence, and for the end of the server or the reader. */
class News {
  readonly #unwatch: () => void;
  readonly #unwatchStop: () => void;
  #arrived = Promise.withResolvers<void>();
  over: 'left' | 'stopped' | undefined;

  constructor({ eventFeed, stopping }: ApiContext) {
    this.#unwatch = eventFeed.watch(() => this.#arrived.resolve());
    this.#unwatchStop = stopping.watch(() => this.#end('stopped'));
  }

  leave(): void {
    this.#end('left');
    this.#unwatch();
    this.#unwatchStop();
  }

  /** To be called before the rows are looked at: what comes after that is not missed. */
  rearm(): void {
    if (this.over === undefined) this.#arrived = Promise.withResolvers();
  }

  /** Whether something came, in so much time. */
  async wait(milliseconds: number): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(late.resolve, milliseconds, false);
    try {
      return await Promise.race([this.#arrived.promise.then(() => true), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #end(how: 'left' | 'stopped'): void {
    this.over ??= how;
    this.#arrived.resolve();
  }
}

async function* tell(context: ApiContext, wanted: Wanted, news: News): AsyncGenerator<string> {
  const { events } = context.registry.metadata;
  try {
    const newest = await events.newest();
    let seen = wanted.after ?? newest;
    const gap = await gapAfter(context, seen, newest);
    if (gap !== undefined) seen = gap;
    // The id alone: whoever comes back before the first event misses nothing.
    yield `retry: 2000\nid: ${seen}\n\n`;
    if (gap !== undefined) yield message('gap', seen, { after: wanted.after, goesOnAfter: gap });
    for (;;) {
      if (news.over === 'stopped') yield message('end', seen, { reason: 'the server stops' });
      if (news.over !== undefined) return;
      news.rearm();
      const page = await readContent(events, seen, rowsAtOnce);
      for (const event of page.items) {
        if (!isWanted(wanted, event)) continue;
        const judged = await mayRead(context, wanted.principal, event);
        if (judged === 'void') return yield voidMessage(seen);
        if (judged === 'yes') yield message(event.type, event.seq, showContent(event));
        seen = event.seq;
      }
      seen = page.seen;
      if (page.more || (await news.wait(silenceMilliseconds))) continue;
      if (!(await isGood(context, wanted.principal))) return yield voidMessage(seen);
      yield `: nothing new\nid: ${seen}\n\n`;
    }
  } finally {
    news.leave();
  }
}

/**
 * Where a stream goes on that cannot go on after `seen`: some of what came since was dropped, or the database is another one.
 * undefined: it can.
 */
async function gapAfter({ registry }: ApiContext, seen: number, newest: number): Promise<number | undefined> {
  if (seen > newest) return newest;
  const oldest = await registry.metadata.events.oldest();
  return oldest !== undefined && oldest > seen + 1 ? oldest - 1 : undefined;
}

function isWanted({ types, pattern }: Wanted, { type, repository }: ContentEvent): boolean {
  return types.includes(type) && (pattern === undefined || matchesPattern(pattern, repository));
}

async function mayRead(
  { authority, clock }: ApiContext,
  principal: Principal,
  { repository }: ContentEvent,
): Promise<'yes' | 'no' | 'void'> {
  const rights = await authority.policy.rightsOf(principal);
  if (rights === undefined) return 'void';
  const visibility = await authority.policy.findVisibility(repository);
  return rights.roleOn(repository, visibility, clock.unixSeconds()) === undefined ? 'no' : 'yes';
}

async function isGood({ authority }: ApiContext, principal: Principal): Promise<boolean> {
  return (await authority.policy.rightsOf(principal)) !== undefined;
}

function voidMessage(seen: number): string {
  return message('end', seen, { reason: 'these credentials are no longer good: sign in again' });
}

function message(name: string, id: number, data: object): string {
  return `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
