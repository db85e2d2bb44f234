// The guard in mode token: who gets 401, 403 and 404, and that what is private looks like what is not there.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { beginUpload, errorCode, type Headers, pushBlob, pushImage, sha256 } from '../support/client.ts';
import { basic, bearer, challengeOf, startSignInRegistry } from '../support/sign-in.ts';

const absent = sha256('nowhere');

/** Status, headers and body of every read of a repository, without what is different for each request. */
async function readsOf(url: string, name: string, headers: Headers): Promise<readonly unknown[]> {
  const paths: readonly (readonly [string, string])[] = [
    ['GET', 'manifests/v1'],
    ['HEAD', 'manifests/v1'],
    ['GET', `manifests/${absent}`],
    ['GET', `blobs/${absent}`],
    ['HEAD', `blobs/${absent}`],
    ['GET', 'tags/list'],
    ['GET', `referrers/${absent}`],
    ['GET', 'blobs/uploads/x'],
    ['PUT', 'manifests/v1'],
    ['POST', 'blobs/uploads/'],
    ['POST', `blobs/uploads/?mount=${absent}&from=sam/app`],
    ['PATCH', 'blobs/uploads/x'],
    ['PUT', `blobs/uploads/x?digest=${absent}`],
    ['DELETE', 'blobs/uploads/x'],
    ['DELETE', 'manifests/v1'],
    ['DELETE', `blobs/${absent}`],
  ];
  const found: unknown[] = [];
  for (const [method, path] of paths) {
    const reply = await fetch(`${url}/v2/${name}/${path}`, { method, headers });
    const told = [...reply.headers].filter(([header]) => header !== 'date' && header !== 'x-request-id');
    const text = JSON.stringify([method, path, reply.status, told, await reply.text()]);
    found.push(JSON.parse(text.replaceAll(name, 'NAME')));
  }
  return found;
}

describe('what may not be seen', () => {
  it('looks in every byte like what is not there, to everybody who may not', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url } = registry;
    for (const name of ['sam', 'joe']) await registry.addUser(name);
    await registry.addUser('kim', { guest: true });
    await registry.addOrganization('acme');
    await registry.addRobot('acme+ci');
    await pushImage(url, 'joe/secret', 'v1', 'v1', basic('joe'));
    const scopes = ['repository:joe/secret:pull,push', 'repository:joe/nothin:pull,push'];
    const everybody: Record<string, Headers> = {
      nobody: {},
      'nobody with a token': bearer(await registry.fetchToken(scopes)),
      sam: basic('sam'),
      'sam with a token': bearer(await registry.fetchToken(scopes, 'sam')),
      'a guest': basic('kim'),
      'a robot': basic('acme+ci', await registry.addToken('acme+ci')),
      'a token of joe for other repositories': bearer(
        await registry.addToken('joe', { patterns: ['joe/other'] }),
      ),
    };
    for (const [who, headers] of Object.entries(everybody)) {
      const [there, notThere] = [
        await readsOf(url, 'joe/secret', headers),
        await readsOf(url, 'joe/nothin', headers),
      ];
      assert.deepEqual(there, notThere, who);
      const statuses = new Set(there.map((one) => (one as unknown[])[2]));
      assert.deepEqual([...statuses].sort(), who.startsWith('nobody') ? [401] : [403, 404], who);
    }
  });

  it('is 404 to read and 403 with the sentence to change', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url } = registry;
    for (const name of ['sam', 'joe']) await registry.addUser(name);
    const headers = basic('sam');
    const head = await fetch(`${url}/v2/joe/alpine/blobs/${absent}`, { method: 'HEAD', headers });
    assert.equal(head.status, 404);
    const push = await fetch(`${url}/v2/joe/alpine/blobs/uploads/`, { method: 'POST', headers });
    assert.equal(push.status, 403);
    assert.deepEqual(await push.json(), {
      errors: [
        {
          code: 'DENIED',
          message: 'sam may not push to joe/alpine; your own namespace is sam/',
          detail: {},
        },
      ],
    });
    const pull = await fetch(`${url}/v2/joe/alpine/manifests/v1`, { headers });
    assert.equal(pull.status, 404);
    assert.deepEqual(await pull.json(), {
      errors: [
        {
          code: 'NAME_UNKNOWN',
          message: 'repository joe/alpine does not exist, or sam may not see it',
          detail: { name: 'joe/alpine' },
        },
      ],
    });
  });

  it('is not in lists and not found by searching', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url } = registry;
    for (const name of ['sam', 'joe']) await registry.addUser(name);
    await registry.addUser('kim', { guest: true });
    await registry.addOrganization('mirror', { visibility: 'public' });
    await registry.addOrganization('acme', { visibility: 'internal' });
    for (const name of ['sam/app', 'joe/app', 'mirror/app', 'acme/app', 'other/app'])
      await pushImage(url, name, 'v1', 'v1', basic('admin'));
    await registry.grant('kim', 'read', 'acme/app');
    const catalogOf = async (headers: Headers) =>
      ((await (await fetch(`${url}/v2/_catalog`, { headers })).json()) as { repositories: string[] })
        .repositories;
    const all = ['acme/app', 'joe/app', 'mirror/app', 'other/app', 'sam/app'];
    assert.deepEqual(await catalogOf(basic('admin')), all);
    assert.deepEqual(await catalogOf(basic('sam')), ['acme/app', 'mirror/app', 'sam/app']);
    assert.deepEqual(await catalogOf(basic('kim')), ['acme/app', 'mirror/app']);
    const everybodys = bearer(await registry.fetchToken(['registry:catalog:*']));
    assert.deepEqual(await catalogOf(everybodys), ['mirror/app']);
    const page = await fetch(`${url}/v2/_catalog?n=1`, { headers: basic('sam') });
    assert.deepEqual(await page.json(), { repositories: ['acme/app'] });
    assert.equal(page.headers.get('link'), '</v2/_catalog?last=acme%2Fapp&n=1>; rel="next"');

    const search = await fetch(`${url}/v1/search?q=app&n=25`, { headers: basic('sam') });
    const { results } = (await search.json()) as { results: { name: string }[] };
    assert.deepEqual(
      results.map(({ name }) => name),
      ['acme/app', 'mirror/app', 'sam/app'],
    );
    const anonymous = await fetch(`${url}/v1/search?q=app&n=25`);
    assert.equal(anonymous.status, 404, 'podman then asks for the catalog with its credentials');
    assert.equal(anonymous.headers.get('www-authenticate'), null);
    assert.equal(await (await fetch(`${url}/v1/_ping`)).text(), 'true');
  });
});

describe('what may be seen and not changed', () => {
  it('is 403 with a sentence that names the role needed', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url } = registry;
    await registry.addUser('sam');
    await registry.addOrganization('acme');
    await pushImage(url, 'acme/web', 'v1', 'v1', basic('admin'));
    await registry.grant('sam', 'read', 'acme/**');
    const headers = basic('sam');
    assert.equal((await fetch(`${url}/v2/acme/web/manifests/v1`, { headers })).status, 200);
    for (const [method, path, sentence] of [
      ['POST', 'blobs/uploads/', /sam may pull acme\/web, but pushing needs the role write/],
      ['DELETE', 'manifests/v1', /sam may pull acme\/web, but deleting needs the role maintain/],
    ] as const) {
      const reply = await fetch(`${url}/v2/acme/web/${path}`, { method, headers });
      assert.equal(reply.status, 403);
      assert.match(await reply.text(), sentence);
    }
    const status = await fetch(`${url}/v2/acme/web/blobs/uploads/x`, { headers });
    assert.equal(status.status, 403);
  });

  it('is everybody’s where it is public, without and with a token', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url } = registry;
    await registry.addOrganization('mirror', { visibility: 'public' });
    await pushImage(url, 'mirror/alpine', 'v1', 'v1', basic('admin'));
    assert.equal((await fetch(`${url}/v2/mirror/alpine/manifests/v1`)).status, 200);
    const token = await registry.fetchToken(['repository:mirror/alpine:pull,push']);
    const headers = bearer(token);
    assert.equal((await fetch(`${url}/v2/mirror/alpine/manifests/v1`, { headers })).status, 200);
    const push = await fetch(`${url}/v2/mirror/alpine/blobs/uploads/`, { method: 'POST', headers });
    assert.equal(push.status, 401);
  });
});

describe('an upload', () => {
  it('is missing to everybody but who began it', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url } = registry;
    for (const name of ['sam', 'joe']) await registry.addUser(name);
    await registry.addOrganization('acme');
    for (const name of ['sam', 'joe'])
      await registry.grant(name, 'write', name === 'sam' ? 'acme/**' : 'acme/w*');
    const location = await beginUpload(url, 'acme/web', basic('sam'));
    assert.equal((await fetch(location, { headers: basic('sam') })).status, 204);
    for (const method of ['GET', 'PATCH', 'DELETE', 'PUT']) {
      const reply = await fetch(`${location}?digest=${absent}`, { method, headers: basic('joe') });
      assert.equal(reply.status, 404, method);
      assert.equal(await errorCode(reply), 'BLOB_UPLOAD_UNKNOWN');
    }
    assert.equal((await fetch(location, { headers: basic('sam') })).status, 204);
  });

  it('ends with the right to it: a disabled user, a withdrawn grant and a removed token stop in mid-push', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url } = registry;
    const { accounts } = registry.registry.metadata;
    for (const name of ['sam', 'joe', 'ada', 'eve']) await registry.addUser(name);
    await registry.addOrganization('acme');
    const begin = async (name: string, repository: string, headers: Headers) => {
      const location = await beginUpload(url, repository, headers);
      assert.equal((await patch(location, headers)).status, 202, name);
      return location;
    };
    const patch = (location: string, headers: Headers) =>
      fetch(location, { method: 'PATCH', headers, body: 'some bytes' });
    const scope = (name: string) => [`repository:${name}/app:pull,push`];

    const sam = bearer(await registry.fetchToken(scope('sam'), 'sam'));
    const ofSam = await begin('sam', 'sam/app', sam);
    await registry.disable('sam');
    const disabled = await patch(ofSam, sam);
    assert.deepEqual([disabled.status, challengeOf(disabled).error], [401, 'invalid_token']);

    await registry.grant('joe', 'write', 'acme/app');
    const joe = bearer(await registry.fetchToken(scope('acme'), 'joe'));
    const ofJoe = await begin('joe', 'acme/app', joe);
    const [grant] = (await accounts.grants.listOfSubject('joe', { limit: 1 })).items;
    await accounts.grants.remove({ id: grant?.id ?? 0, origin: { actor: 'test' } });
    assert.equal((await patch(ofJoe, joe)).status, 403);

    const secret = await registry.addToken('ada');
    const ada = bearer(await registry.fetchToken(scope('ada'), 'ada', secret));
    const ofAda = await begin('ada', 'ada/app', ada);
    const kinds = ['personal'] as const;
    await accounts.credentials.removeAll({ subject: 'ada', kinds, origin: { actor: 'test' } });
    assert.equal(challengeOf(await patch(ofAda, ada)).error, 'invalid_token');

    const eve = bearer(await registry.fetchToken(scope('eve'), 'eve'));
    const ofEve = await begin('eve', 'eve/app', eve);
    const hash = await registry.authority.passwords.hash('another good password 5');
    await accounts.users.setPassword({ name: 'eve', hash, origin: { actor: 'test' } });
    assert.equal(challengeOf(await patch(ofEve, eve)).error, 'invalid_token');
  });
});

describe('a mount', () => {
  it('takes what the caller may pull, and tells nothing of the rest', async (t) => {
    const registry = await startSignInRegistry(t);
    const { url } = registry;
    for (const name of ['sam', 'joe']) await registry.addUser(name);
    const secret = await pushBlob(url, 'joe/app', 'a secret layer', basic('joe'));
    const own = await pushBlob(url, 'sam/base', 'a layer of sam', basic('sam'));
    const mount = (digest: string, from: string | undefined, headers: Headers) => {
      const source = from === undefined ? '' : `&from=${from}`;
      return fetch(`${url}/v2/sam/app/blobs/uploads/?mount=${digest}${source}`, { method: 'POST', headers });
    };
    const mounted = await mount(own, 'sam/base', basic('sam'));
    assert.equal(mounted.status, 201);
    assert.equal(mounted.headers.get('docker-content-digest'), own);
    for (const [digest, from] of [
      [secret, 'joe/app'],
      [secret, undefined],
      [absent, 'joe/app'],
      [secret, 'joe/nothing'],
      [absent, undefined],
    ] as const) {
      const reply = await mount(digest, from, basic('sam'));
      assert.equal(reply.status, 202, `${digest} of ${from}`);
      assert.equal(reply.headers.get('docker-content-digest'), null);
    }
    const narrow = bearer(await registry.fetchToken(['repository:sam/app:pull,push'], 'sam'));
    assert.equal((await mount(own, 'sam/base', narrow)).status, 202, 'the token does not name the source');
    const wide = ['repository:sam/app:pull,push', 'repository:sam/base:pull'];
    assert.equal((await mount(own, 'sam/base', bearer(await registry.fetchToken(wide, 'sam')))).status, 201);
  });
});
