// A repository that is moved, deleted and restored while people use it, with real podman and skopeo. They are signed in and go on
// under the old name: what they see of the move is nothing when they pull, and a sentence when they push.
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { makeClientHome } from '../support/client-home.ts';
import { BASE_IMAGE, buildBaseImage, buildSmallImage } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { startRegistry } from '../support/registry.ts';

const skip = skipWithout('podman', 'skopeo', 'buildah', 'busybox', 'root');
const password = 'a-password-for-tests';
const insecure = '--tls-verify=false';

async function start(t: TestContext) {
  const registry = await startRegistry(t, {
    'access.mode': 'token',
    'access.adminPassword': password,
    'auth.password.bcryptCost': '10',
  });
  const host = `localhost:${registry.port}`;
  const authorization = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`;
  // biome-ignore lint/suspicious/noExplicitAny: the test looks into it as it pleases
  const manage = async (method: string, path: string, body?: unknown): Promise<any> => {
    const headers = { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const reply = await fetch(`${registry.url}/api/v1${path}`, { method, headers, ...sent });
    const text = await reply.text();
    assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  const person = async (name: string) => {
    await manage('POST', '/users', { name, password });
    const home = await makeClientHome(t);
    const login = ['login', insecure, '-u', name, '--password-stdin', host];
    await home.run('podman', login, { input: password });
    return home;
  };
  return { registry, host, manage, person };
}

describe('a repository that is moved', { skip }, () => {
  test('is pulled under its old name as if nothing had happened, and a push says where it went', async (t) => {
    const { host, manage, person } = await start(t);
    const sam = await person('sam');
    await buildBaseImage(sam);
    await buildSmallImage(sam, 'localhost/other:1', 'other');
    const old = `${host}/sam/app:v1`;
    const present = `${host}/acme/app:v1`;
    await sam.run('podman', ['push', insecure, BASE_IMAGE, old]);
    await manage('POST', '/organizations', { name: 'acme' });
    await manage('POST', '/namespaces/sam/grants', { subject: 'sam', object: 'sam/app', role: 'admin' });
    await manage('PATCH', '/repositories/sam/app', { name: 'acme/app' });

    // The grant on exactly its name went along: sam, signed in as before, pulls by the old name.
    await sam.run('podman', ['rmi', '--force', BASE_IMAGE, old], { expect: 'either' });
    const pulled = await sam.run('podman', ['pull', '--quiet', insecure, old]);
    assert.match(pulled.stdout, /^[0-9a-f]{64}\n$/);
    assert.doesNotMatch(pulled.output, /warn|error|moved/i);
    const inspected = await sam.run('skopeo', ['inspect', insecure, `docker://${old}`]);
    assert.equal(JSON.parse(inspected.stdout).Name, `${host}/sam/app`);
    const tags = await sam.run('skopeo', ['list-tags', insecure, `docker://${host}/sam/app`]);
    assert.deepEqual(JSON.parse(tags.stdout).Tags, ['v1']);
    const copy = ['copy', '--src-tls-verify=false', `docker://${old}`, `dir:${sam.path('copied')}`];
    await sam.run('skopeo', copy);

    const sentence =
      /denied: repository sam\/app was moved to acme\/app, and is only read under its old name/;
    const refused = await sam.run('podman', ['push', insecure, 'localhost/other:1', `${host}/sam/app:v2`], {
      expect: 'fails',
    });
    assert.match(refused.output, sentence);
    // Also where all of it is there already, and only the manifest is left to push.
    const again = await sam.run('podman', ['push', insecure, old, `${host}/sam/app:v3`], { expect: 'fails' });
    assert.match(again.output, sentence);
    const deleted = await sam.run('skopeo', ['delete', insecure, `docker://${old}`], { expect: 'fails' });
    assert.match(deleted.output, /moved to acme\/app|denied|403/);
    await sam.run('podman', ['push', insecure, 'localhost/other:1', `${host}/acme/app:v2`]);

    // Somebody who may not see where it went finds nothing under the old name.
    const kim = await person('kim');
    const hidden = await kim.run('podman', ['pull', insecure, old], { expect: 'fails' });
    assert.match(hidden.output, /repository sam\/app does not exist, or kim may not see it/);
    const digest = JSON.parse(inspected.stdout).Digest;
    const found = await manage('GET', `/repositories?digest=${digest}`);
    assert.deepEqual(
      found.items.map((one: { name: string; found: { tags: { name: string }[] } }) => [
        one.name,
        one.found.tags.map(({ name }) => name),
      ]),
      [['acme/app', ['v1']]],
    );
    const searched = await sam.run('podman', ['search', insecure, '--format', '{{.Name}}', `${host}/app`]);
    assert.equal(searched.stdout.trim(), `${host}/acme/app`);
    await sam.run('podman', ['pull', '--quiet', insecure, present]);
  });
});

describe('a repository that is deleted', { skip }, () => {
  test('is gone for podman at once, and back as it was, under the same name or another', async (t) => {
    const { registry, host, manage, person } = await start(t);
    const sam = await person('sam');
    await buildBaseImage(sam);
    const image = `${host}/sam/app:v1`;
    await sam.run('podman', ['push', insecure, BASE_IMAGE, image]);
    const digestOf = async (name: string) => {
      const { stdout } = await sam.run('skopeo', ['inspect', insecure, `docker://${name}`]);
      return JSON.parse(stdout).Digest;
    };
    const digest = await digestOf(image);
    await manage('DELETE', '/repositories/sam/app');
    const gone = await sam.run('podman', ['pull', insecure, image], { expect: 'fails' });
    assert.match(gone.output, /sam\/app does not exist|name unknown/i);
    const { repositories } = registry.registry.metadata;
    const origin = { actor: 'admin' };
    const idOfDeleted = async () => (await repositories.listDeleted({ limit: 1 })).items[0]?.id ?? 0;
    assert.equal((await repositories.restore({ id: await idOfDeleted(), origin })).outcome, 'restored');
    assert.equal(await digestOf(image), digest);
    // The name is used anew meanwhile: it comes back beside it.
    await manage('DELETE', '/repositories/sam/app');
    await buildSmallImage(sam, 'localhost/other:1', 'other');
    await sam.run('podman', ['push', insecure, 'localhost/other:1', image]);
    const id = await idOfDeleted();
    assert.equal((await repositories.restore({ id, origin })).outcome, 'exists');
    const name = 'sam/former' as Parameters<typeof repositories.restore>[0]['name'];
    assert.equal((await repositories.restore({ id, name, origin })).outcome, 'restored');
    assert.equal(await digestOf(`${host}/sam/former:v1`), digest);
    assert.notEqual(await digestOf(image), digest);
  });
});
