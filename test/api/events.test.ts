// The live stream of events: who is told of what at which moment, going on where one was, gaps, bounds and ends.
import assert from 'node:assert/strict';
import { type IncomingMessage, request } from 'node:http';
import { describe, it } from 'node:test';
import { readEvents } from '../../src/cli/client/event-source.ts';
import { type ApiRegistry, assertProblem, startApi, testOrigin } from '../support/api.ts';
import { pushImage } from '../support/client.ts';

interface Told {
  readonly id: string;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
  readonly data: any;
}

/** A stream that is open: what it has told, and what it will. */
class Stream {
  readonly told: Told[] = [];
  readonly ended: Promise<void>;
  lastId = '';
  readonly #reply: IncomingMessage;
  readonly #waiting: { count: number; resolve: () => void }[] = [];

  constructor(reply: IncomingMessage) {
    this.#reply = reply;
    this.ended = this.#read().catch(() => undefined);
  }

  async until(count: number): Promise<readonly Told[]> {
    if (this.told.length < count)
      await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
    return this.told;
  }

  leave(): void {
    this.#reply.destroy();
  }

  async #read(): Promise<void> {
    for await (const { id, name, data } of readEvents(this.#reply, {
      id: (told) => {
        this.lastId = told;
      },
      retry: () => undefined,
    })) {
      this.told.push({ id: id ?? '', event: name, data: JSON.parse(data) });
      for (const { count, resolve } of this.#waiting) if (this.told.length >= count) resolve();
    }
  }
}

// Not fetch, which opens connections ahead that the server then has to wait for.
function ask(api: ApiRegistry, secret: string | undefined, query = '', lastId?: string) {
  const headers = {
    authorization: `Bearer ${secret}`,
    ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
  };
  return new Promise<IncomingMessage>((resolve, reject) => {
    request(`${api.registry.url}/api/v1/events${query}`, { agent: false, headers }, resolve)
      .on('error', reject)
      .end();
  });
}

async function open(...wanted: Parameters<typeof ask>): Promise<Stream> {
  const reply = await ask(...wanted);
  assert.equal(reply.statusCode, 200);
  assert.equal(reply.headers['content-type'], 'text/event-stream; charset=utf-8');
  const stream = new Stream(reply);
  // The first line says where it begins: whatever is pushed after that is told.
  while (stream.lastId === '') await new Promise((resolve) => setTimeout(resolve, 2));
  return stream;
}

let seeds = 0;
const push = (api: ApiRegistry, repository: string, tag = 'v1') => {
  seeds += 1;
  const headers = { authorization: `Bearer ${api.admin.secret}` };
  return pushImage(api.registry.url, repository, tag, `events ${seeds}`, headers);
};
const shown = (told: readonly Told[]) =>
  told.map(({ event, data }) => `${event} ${data.repository}:${data.tag}`);

describe('the live stream', () => {
  it('tells each what he may read, judged at the moment', async (t) => {
    const api = await startApi(t);
    const rita = await api.addUser('rita');
    await api.addOrganization('acme');
    const grant = { subject: 'rita', object: 'acme/**', role: 'read' };
    const all = await open(api, api.admin.secret);
    const hers = await open(api, rita.secret);
    await push(api, 'acme/web', 'before');
    // Once this has come, what was before it was judged.
    await push(api, 'rita/own', 'first');
    await hers.until(1);
    const { body: given } = await api.admin.post('/namespaces/acme/grants', grant);
    await push(api, 'acme/web', 'with');
    await push(api, 'other/web', 'other');
    await hers.until(2);
    await all.until(4);
    assert.equal((await api.admin.delete(`/namespaces/acme/grants/${given.id}`)).status, 204);
    await push(api, 'acme/web', 'after');
    await push(api, 'rita/own', 'own');
    await hers.until(3);
    assert.deepEqual(shown(hers.told), ['push rita/own:first', 'push acme/web:with', 'push rita/own:own']);
    await all.until(6);
    const [first] = all.told;
    assert.deepEqual(Object.keys(first?.data), [
      'id',
      'at',
      'type',
      'kind',
      'repository',
      'tag',
      'digest',
      'mediaType',
      'size',
      'actor',
    ]);
    assert.equal(String(first?.data.id), first?.id);
    assert.equal(JSON.stringify(all.told).includes('127.0.0.1'), false, 'addresses are for the audit');
  });

  it('tells only of the repositories and types that are asked for', async (t) => {
    const api = await startApi(t);
    const stream = await open(api, api.admin.secret, '?repository=acme/**&type=delete,mount');
    await push(api, 'acme/web');
    await push(api, 'other/web');
    const { secret } = api.admin;
    for (const name of ['other/web', 'acme/web'])
      await fetch(`${api.registry.url}/v2/${name}/manifests/v1`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${secret}` },
      });
    await stream.until(1);
    assert.deepEqual(shown(stream.told), ['delete acme/web:v1']);
  });

  it('tells of a repository that comes back, once for all of its tags', async (t) => {
    const api = await startApi(t);
    for (const tag of ['v1', 'v2', 'v3']) await push(api, 'acme/web', tag);
    const stream = await open(api, api.admin.secret, '?repository=acme/**');
    await api.admin.delete('/repositories/acme/web');
    const [{ id }] = (await api.admin.get('/deleted?kind=repository')).body.items;
    // A dry run is told to nobody.
    assert.equal((await api.admin.post(`/deleted/${id}/restore?dryRun=true`, {})).status, 200);
    assert.equal((await api.admin.post(`/deleted/${id}/restore`, { name: 'acme/again' })).status, 200);
    await push(api, 'acme/again', 'v4');
    await stream.until(3);
    assert.deepEqual(
      stream.told.map(({ event, data }) => [
        event,
        data.kind,
        data.repository,
        data.tag,
        data.digest === null,
      ]),
      [
        ['delete', 'repository', 'acme/web', null, true],
        ['restore', 'repository', 'acme/again', null, true],
        ['push', 'manifest', 'acme/again', 'v4', false],
      ],
    );
  });

  it('goes on where one was, each event once, over a restart of the stream', async (t) => {
    const api = await startApi(t);
    const first = await open(api, api.admin.secret);
    await push(api, 'acme/web', 'v1');
    await push(api, 'acme/web', 'v2');
    await first.until(2);
    first.leave();
    await push(api, 'acme/web', 'v3');
    const second = await open(api, api.admin.secret, '', first.told[0]?.id);
    await push(api, 'acme/web', 'v4');
    await second.until(3);
    assert.deepEqual(
      shown(second.told),
      ['v2', 'v3', 'v4'].map((tag) => `push acme/web:${tag}`),
    );
  });

  it('says so where what came meanwhile is not kept, or the id is of another registry', async (t) => {
    const api = await startApi(t);
    for (const tag of ['v1', 'v2', 'v3']) await push(api, 'acme/web', tag);
    const { events } = api.registry.registry.metadata;
    const newest = await events.newest();
    const oldest = await events.oldest();
    await events.dropBefore(Date.now() / 1000 + 10, newest - 3);
    assert.ok(((await events.oldest()) ?? 0) > (oldest ?? 0));
    const old = await open(api, api.admin.secret, '', '1');
    await old.until(2);
    assert.deepEqual([old.told[0]?.event, old.told[0]?.data.after], ['gap', 1]);
    assert.equal(old.told[1]?.event, 'push');
    const foreign = await open(api, api.admin.secret, '', '999999');
    await foreign.until(1);
    assert.deepEqual(foreign.told[0]?.data, { after: 999_999, goesOnAfter: newest });
    await push(api, 'acme/web', 'v4');
    await foreign.until(2);
    assert.equal(foreign.told[1]?.data.tag, 'v4');
  });

  it('ends for whoever is disabled, at the next event', async (t) => {
    const api = await startApi(t);
    const rita = await api.addUser('rita');
    const stream = await open(api, rita.secret);
    await push(api, 'rita/app');
    await stream.until(1);
    await api.admin.post('/users/rita/disable');
    await push(api, 'rita/app', 'v2');
    await stream.ended;
    assert.deepEqual(
      stream.told.map(({ event }) => event),
      ['push', 'end'],
    );
    assert.match(stream.told[1]?.data.reason, /no longer good/);
  });

  it('ends with the server, whose stop does not wait for it', async (t) => {
    const api = await startApi(t);
    const stream = await open(api, api.admin.secret);
    await api.registry.close();
    await stream.ended;
    assert.match(stream.told.at(-1)?.data.reason, /the server stops/);
  });

  it('is refused with a sentence, and to nobody more than so many', async (t) => {
    const api = await startApi(t);
    assertProblem(await api.anonymous.get('/events'), 401, 'unauthenticated');
    assertProblem(await api.admin.get('/events?type=explode'), 400, 'invalid', /push, delete, pull, mount/);
    assertProblem(await api.admin.get('/events?type=pull'), 400, 'invalid', /audit\.recordPulls/);
    assertProblem(await api.admin.get('/events?repository=***'), 400, 'invalid');
    const headers = { 'last-event-id': 'x' };
    assertProblem(await api.admin.get('/events', { headers }), 400, 'invalid', /id of no event/);
    const open20 = await Promise.all(Array.from({ length: 20 }, () => open(api, api.admin.secret)));
    assertProblem(await api.admin.get('/events'), 429, 'too-many-requests', /too many streams/);
    open20[0]?.leave();
    await open20[0]?.ended;
    // The server notices a moment later that the reader has gone.
    for (;;) {
      const reply = await ask(api, api.admin.secret);
      reply.destroy();
      if (reply.statusCode === 200) break;
    }
  });

  it('costs no memory where the reader takes nothing, and others go on', async (t) => {
    const api = await startApi(t);
    const { events } = api.registry.registry.metadata;
    await push(api, 'acme/web');
    // Nobody reads it.
    const slow = await ask(api, api.admin.secret, '', '0');
    const quick = await open(api, api.admin.secret);
    const count = 4000;
    const before = process.memoryUsage().rss;
    for (let round = 0; round < count; round += 100) {
      const digest = `sha256:${'a'.repeat(64)}` as never;
      const by = Array.from({ length: 100 }, () => ({ origin: testOrigin, tag: undefined, count: 1 }));
      await api.registry.registry.metadata.manifests.recordPulls([
        { repository: 'acme/web' as never, digest, pulls: 1, lastAt: 0, by },
      ]);
    }
    await quick.until(count);
    assert.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024);
    assert.ok((await events.newest()) >= count);
    slow.destroy();
  });
});
