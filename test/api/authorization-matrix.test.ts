// Every route of the running server × everybody who could ask × every kind of object. The routes come from the server itself:
// one without a declared expectation fails, so that a new route is tested by existing.
import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import {
  type Expectation,
  expectations,
  roleOn,
  type Verdict,
  verdictOnAction,
  verdictOnApi,
  verdictOnManagedRepository,
  verdictOnRepository,
} from '../support/matrix/expectations.ts';
import {
  closeConnections,
  comparable,
  isAboutRepository,
  type MatrixReply,
  type MatrixRequest,
  requestsOf,
  send,
} from '../support/matrix/requests.ts';
import {
  type Asker,
  buildWorld,
  type RepositoryKey,
  repositories,
  type World,
} from '../support/matrix/world.ts';

/** Requests at a time. */
const atOnce = 16;

describe('the authorization matrix', () => {
  let world: World;
  const endings: (() => unknown)[] = [];
  /** By asker, method and path: what was answered already. */
  const answered = new Map<string, MatrixReply>();
  before(async () => {
    const later = { after: (end: () => unknown) => endings.push(end) } as unknown as TestContext;
    world = await buildWorld(later);
  });
  after(async () => {
    closeConnections();
    for (const end of endings) await end();
  });

  it('knows every route of the server, and the server every route that is expected', () => {
    const paths = new Set([...expectations.values()].map(({ url }) => url));
    const unexpected = world.registry.routes.filter(({ url }) => !paths.has(url));
    assert.deepEqual(unexpected, [], 'these routes have no declared expectation');
    const served = new Set(world.registry.routes.map(({ method, url }) => `${method} ${url}`));
    assert.deepEqual(
      [...expectations.keys()].filter((key) => !served.has(key)),
      [],
    );
  });

  it('answers every other method of a path with 405, whoever asks', async () => {
    const others = methodsNotTaken();
    assert.ok(others.length > 100);
    const faults: string[] = [];
    const asked = world.askers.filter(({ label }) =>
      ['anonymous', 'administrator', 'expired token'].includes(label),
    );
    await each(others, async ({ method, url }) => {
      for (const asker of asked) {
        const [one] = requestsOf({ method, url, needs: [] }, world, asker);
        assert.ok(one);
        const { status, headers } = await send(world, one, asker);
        if (status !== 405 || headers.allow === undefined)
          faults.push(`${method} ${url} ${asker.label}: ${status}`);
      }
    });
    assert.deepEqual(faults, []);
  });

  it('lets everybody do what he may under /v2 and no more', async () => {
    const routes = [...expectations.values()].filter(({ url }) => isAboutRepository(url));
    await judge(routes, (expectation, { repository, method }, asker) =>
      verdictOnRepository(asker, expectation.needs[0] ?? '', repository ?? 'missing', method),
    );
  });

  it('lets everybody do what he may beside repositories and no more', async () => {
    const routes = [...expectations.values()].filter(
      ({ url, needs }) => !url.startsWith('/api/v1') && !isAboutRepository(url) && needs[0] !== 'token',
    );
    await judge(routes, ({ needs }, _request, asker) => verdictOnAction(asker, needs[0] ?? ''));
  });

  it('lets everybody do what he may in the management API and no more', async () => {
    await judge(byPath('/api/v1'), (expectation, { target, repository }, asker) =>
      repository === undefined
        ? verdictOnApi(expectation, asker, target)
        : verdictOnManagedRepository(expectation, asker, repository),
    );
  });

  it('answers what may not be seen like what is not there, byte by byte', async () => {
    const faults: string[] = [];
    let compared = 0;
    const cases = [...expectations.values()].flatMap((expectation) =>
      world.askers.map((asker) => ({ expectation, asker })),
    );
    await each(cases, async ({ expectation, asker }) => {
      const requests = requestsOf(expectation, world, asker);
      for (const [there, absent] of twinsOf(expectation, requests, asker)) {
        const one = comparable(await ask(there.request, asker), there.name);
        const other = comparable(await ask(absent.request, asker), absent.name);
        compared += 1;
        if (one !== other)
          faults.push(`${expectation.method} ${there.request.path} ${asker.label}:\n  ${one}\n  ${other}`);
      }
    });
    assert.ok(compared > 1000, `${compared} pairs`);
    assert.deepEqual(faults, []);
  });

  it('shows everybody in the catalog and in search what he may pull', async () => {
    for (const asker of world.askers.filter(({ credentials }) => credentials === 'good')) {
      const wanted = (['app', 'internal', 'private', 'public'] as const)
        .filter((key) => roleOn(asker, key) !== undefined)
        .map((key) => repositories[key]);
      const ask = async (path: string) => JSON.parse((await send(world, requestTo(path), asker)).body);
      const { repositories: listed } = await ask('/v2/_catalog');
      assert.deepEqual(listed, wanted, asker.label);
      const { results } = await ask('/v1/search?q=&n=100');
      assert.deepEqual(
        results.map(({ name }: { name: string }) => name),
        wanted,
        asker.label,
      );
    }
  });

  it('puts into access tokens what today’s policy gives, and nothing for what is hidden', async () => {
    const actions = [
      ['pull', 'read'],
      ['push', 'write'],
      ['delete', 'maintain'],
    ] as const;
    const order = ['read', 'write', 'maintain', 'admin'];
    for (const asker of world.askers.filter(({ carries }) => carries === undefined)) {
      const scopes = Object.values(repositories).map((name) => `repository:${name}:pull,push,delete`);
      const path = `/token?service=berth&scope=${encodeURIComponent(scopes.join(' '))}`;
      const authorization =
        asker.basic === undefined ? undefined : `Basic ${Buffer.from(asker.basic).toString('base64')}`;
      const reply = await send(world, requestTo(path), { ...asker, authorization });
      if (asker.credentials === 'void') {
        assert.equal(reply.status, 401, asker.label);
        continue;
      }
      assert.equal(reply.status, 200, `${asker.label} ${reply.body}`);
      const [, claims = ''] = (JSON.parse(reply.body) as { token: string }).token.split('.');
      const { access } = JSON.parse(Buffer.from(claims, 'base64url').toString());
      const given = Object.fromEntries(
        access.map((one: { name: string; actions: string[] }) => [one.name, one.actions]),
      );
      for (const [key, name] of Object.entries(repositories)) {
        const role = roleOn(asker, key);
        const wanted = actions
          .filter(([, needed]) => role !== undefined && order.indexOf(role) >= order.indexOf(needed))
          .map(([action]) => action);
        assert.deepEqual(given[name] ?? [], wanted, `${asker.label} ${name}`);
      }
    }
  });

  async function ask(one: MatrixRequest, asker: Asker): Promise<MatrixReply> {
    const key = `${asker.label} ${one.method} ${one.path}`;
    const reply = answered.get(key) ?? (await send(world, one, asker));
    answered.set(key, reply);
    return reply;
  }

  // Of /users/import the methods of a user of that name as well.
  function methodsNotTaken(): { method: string; url: string }[] {
    const urls = new Set([...expectations.values()].map(({ url }) => url));
    const alike = (url: string) =>
      [...urls].filter(
        (other) => other === url || new RegExp(`^${other.replaceAll(/:\w+/g, '[^:/]+')}$`).test(url),
      );
    return [...urls].flatMap((url) =>
      ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']
        .filter((method) => !alike(url).some((other) => expectations.has(`${method} ${other}`)))
        .map((method) => ({ method, url })),
    );
  }

  function byPath(prefix: string): Expectation[] {
    return [...expectations.values()].filter(({ url }) => url.startsWith(prefix));
  }

  // Asks each route as each asker about each object, and gathers every answer that is not as expected.
  async function judge(
    routes: readonly Expectation[],
    expected: (expectation: Expectation, request: MatrixRequest, asker: Asker) => Verdict,
  ): Promise<void> {
    const faults: string[] = [];
    const cases = routes.flatMap((expectation) => world.askers.map((asker) => ({ expectation, asker })));
    await each(cases, async ({ expectation, asker }) => {
      for (const one of requestsOf(expectation, world, asker)) {
        const wanted = expected(expectation, one, asker);
        const reply = await ask(one, asker);
        const found = readVerdict(one, reply, wanted);
        if (found !== wanted) {
          const { status, body } = reply;
          faults.push(
            `${one.method} ${one.path} as ${asker.label}: ${found}, not ${wanted} (${status} ${body.slice(0, 200)})`,
          );
        }
      }
    });
    assert.deepEqual(faults.slice(0, 30), [], `${faults.length} of many answers`);
  }
});

function requestTo(path: string): MatrixRequest {
  const target = { namespace: undefined, user: undefined };
  return { method: 'GET', path, body: undefined, headers: {}, repository: undefined, target };
}

const isApi = (path: string) => path.startsWith('/api/v1');

/** What a reply says of the decision behind it. `wanted` settles what a 404 alone leaves open: nobody else can tell either. */
function readVerdict(
  { path, method, repository, target }: MatrixRequest,
  { status, headers, body }: MatrixReply,
  wanted: Verdict,
): Verdict | string {
  if (status >= 500) return 'failed';
  if (status === 401) {
    const challenge = String(headers['www-authenticate']);
    if (isApi(path))
      return challenge === 'Bearer realm="berth"' ? 'unauthenticated' : `challenge ${challenge}`;
    if (!/^Bearer realm="[^"]+",service="[^"]+"/.test(challenge)) return `challenge ${challenge}`;
    return challenge.includes('insufficient_scope') ? 'insufficient' : 'unauthenticated';
  }
  if (status === 403) return 'denied';
  if (status !== 404) return 'allowed';
  const isAbsent =
    repository === 'missing' || repository === 'new' || target.namespace === 'nope' || target.user === 'nemo';
  if (isAbsent && (wanted === 'allowed' || wanted === 'hidden')) return wanted;
  // Past the guard of its namespace, it is the run that is not there.
  if (/there is no run \d+ of retention/.test(body)) return 'allowed';
  if (isApi(path)) return 'hidden';
  // Past the guard, it is the manifest, blob or upload that is not there.
  const isPast = method !== 'HEAD' && !/"NAME_UNKNOWN"/.test(body);
  return isPast ? 'allowed' : 'hidden';
}

interface Twin {
  readonly request: MatrixRequest;
  readonly name: string;
}

/** Pairs of requests, of which one is about something that is there and the asker may not see, and the other about nothing. */
function twinsOf(
  expectation: Expectation,
  requests: readonly MatrixRequest[],
  asker: Asker,
): (readonly [Twin, Twin])[] {
  const pairs: (readonly [Twin, Twin])[] = [];
  const ofRepository = (key: RepositoryKey) => requests.find(({ repository }) => repository === key);
  const missing = ofRepository('missing');
  for (const key of ['private', 'internal', 'public'] as const) {
    const there = ofRepository(key);
    if (there === undefined || missing === undefined || roleOn(asker, key) !== undefined) continue;
    pairs.push([
      { request: there, name: repositories[key] },
      { request: missing, name: repositories.missing },
    ]);
  }
  const isHidden = ({ target }: MatrixRequest) =>
    ['hidden', 'unauthenticated'].includes(verdictOnApi(expectation, asker, target));
  for (const request of requests) {
    const { namespace, user } = request.target;
    if (!isApi(request.path) || request.repository !== undefined || !isHidden(request)) continue;
    const find = (target: { namespace: unknown; user: unknown }) =>
      requests.find((one) => one.target.namespace === target.namespace && one.target.user === target.user);
    if (namespace === 'shop') {
      const twin = find({ namespace: 'nope', user });
      if (twin)
        pairs.push([
          { request, name: 'shop' },
          { request: twin, name: 'nope' },
        ]);
    } else if (namespace === undefined && user === 'otto') {
      const twin = find({ namespace, user: 'nemo' });
      if (twin)
        pairs.push([
          { request, name: 'otto' },
          { request: twin, name: 'nemo' },
        ]);
    }
  }
  return pairs;
}

async function each<Item>(items: readonly Item[], act: (item: Item) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await act(item);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}
