// podman and skopeo against a Berth that asks for sign-in: login, push, pull, search, and the words that a person reads when
// something is refused.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { BASE_IMAGE, buildBaseImage, writeIndexLayout } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { basic, password } from '../support/sign-in.ts';
import { type SignInBerth, startSignInBerth } from '../support/sign-in-berth.ts';

const skip = skipWithout('podman', 'skopeo', 'buildah', 'busybox', 'root');
const insecure = '--tls-verify=false';

interface Place {
  readonly berth: SignInBerth;
  readonly home: ClientHome;
  podman(...args: string[]): Promise<string>;
  /** What it prints when it fails. */
  refused(program: string, ...args: string[]): Promise<string>;
  login(name: string, secret?: string): Promise<string>;
  /** Copies a small image there. */
  push(name: string, ...more: string[]): Promise<void>;
  /** What a push there prints when it is refused. */
  pushRefused(name: string, ...more: string[]): Promise<string>;
}

async function makePlace(t: Parameters<typeof makeClientHome>[0]): Promise<Place> {
  const berth = await startSignInBerth(t);
  const home = await makeClientHome(t);
  const { folder } = await writeIndexLayout(home.path('layout'), 'v1', ['amd64', 'arm64']);
  const copy = (name: string, more: readonly string[]) => [
    ...['copy', '--all', '--dest-tls-verify=false', ...more],
    ...[`oci:${folder}:v1`, `docker://${berth.host}/${name}`],
  ];
  const refused = async (program: string, ...args: string[]) =>
    (await home.run(program, args, { expect: 'fails' })).output;
  return {
    berth,
    home,
    refused,
    podman: async (...args) => (await home.run('podman', args)).output,
    login: async (name, secret = password) => {
      const args = ['login', insecure, '-u', name, '--password-stdin', berth.host];
      return (await home.run('podman', args, { input: secret })).output;
    },
    push: async (name, ...more) => {
      await home.run('skopeo', copy(name, more));
    },
    pushRefused: (name, ...more) => refused('skopeo', ...copy(name, more)),
  };
}

test('podman signs in, pushes, and gets back what is its own', { skip }, async (t) => {
  const { berth, home, podman, refused, login, pushRefused } = await makePlace(t);
  await berth.addUsers('sam');
  const image = `${berth.host}/sam/base:1`;
  await buildBaseImage(home);

  await t.test('a wrong password is told from a right one', async () => {
    for (const program of ['podman', 'skopeo']) {
      const wrong = await refused(program, 'login', insecure, '-u', 'sam', '-p', 'wrong', berth.host);
      assert.match(wrong, /logging into \\?"127\.0\.0\.1:\d+\\?": invalid username\/password/);
    }
    const push = await refused('podman', 'push', insecure, '--creds', 'sam:wrong', BASE_IMAGE, image);
    assert.match(
      push,
      /unable to retrieve auth token: invalid username\/password: unauthorized: the user name or the password is wrong/,
    );
    assert.match(await login('sam'), /^Login Succeeded!$/m);
  });

  await t.test('push and pull work, and stop after logout', async () => {
    await podman('push', insecure, BASE_IMAGE, image);
    await podman('rmi', '--all', '--force');
    await podman('pull', insecure, image);
    await podman('logout', berth.host);
    assert.match(
      await refused('podman', 'pull', insecure, image),
      /unauthorized: authentication required: sign in first/,
    );
    assert.match(await pushRefused('sam/base:2'), /unauthorized: authentication required/);
  });
});

test('a refusal reaches the person in our words', { skip }, async (t) => {
  const { berth, refused, login, push, pushRefused } = await makePlace(t);
  await berth.addUsers('sam', 'joe');
  await berth.manage('POST', '/organizations', { name: 'acme' });
  await login('joe');
  await push('joe/secret:1');
  await login('admin');
  await push('acme/web:1');
  await login('sam');

  await t.test(
    'a push into a namespace of somebody else, whether the repository is there or not',
    async () => {
      for (const name of ['joe/secret', 'joe/alpine']) {
        const words = `denied: sam may not push to ${name}; your own namespace is sam/`;
        assert.ok((await pushRefused(`${name}:1`)).includes(words), words);
      }
    },
  );

  await t.test('a pull of what may not be seen, whether it is there or not', async () => {
    for (const name of ['joe/secret', 'joe/alpine']) {
      const words = `name unknown: repository ${name} does not exist, or sam may not see it`;
      assert.ok((await refused('podman', 'pull', insecure, `${berth.host}/${name}:1`)).includes(words));
      const inspected = await refused('skopeo', 'inspect', insecure, `docker://${berth.host}/${name}:1`);
      assert.ok(inspected.includes(words));
    }
  });

  await t.test('a push and a delete where only pulling is allowed', async () => {
    await berth.manage('POST', '/namespaces/acme/grants', {
      subject: 'sam',
      object: 'acme/**',
      role: 'read',
    });
    await refused('skopeo', 'inspect', insecure, `docker://${berth.host}/acme/web:2`);
    assert.match(
      await pushRefused('acme/web:2'),
      /denied: sam may pull acme\/web, but pushing needs the role write/,
    );
    assert.match(
      await refused('skopeo', 'delete', insecure, `docker://${berth.host}/acme/web:1`),
      /sam may pull acme\/web, but deleting needs the role maintain/,
    );
  });
});

test('tokens of persons and robots sign in by the name of their owner', { skip }, async (t) => {
  const { berth, refused, login, push, pushRefused } = await makePlace(t);
  await berth.addUsers('sam');
  await berth.manage('POST', '/organizations', { name: 'acme' });
  await berth.manage('POST', '/namespaces/acme/robots', { name: 'ci' });
  const grant = { subject: 'acme+ci', object: 'acme/web/**', role: 'write' };
  await berth.manage('POST', '/namespaces/acme/grants', grant);
  const made = await berth.manage('POST', '/namespaces/acme/robots/ci/tokens', {
    name: 'first',
    role: 'write',
  });
  const creds = (name: string) => ['--dest-creds', `${name}:${made.secret}`];

  await login('acme+ci', made.secret);
  await push('acme/web/app:1');
  assert.match(
    await pushRefused('acme/billing:1'),
    /denied: acme\+ci may not push to acme\/billing; it may push to acme\/web\/\*\*/,
  );
  assert.match(
    await pushRefused('acme/web/app:2', ...creds('ci')),
    /this token belongs to acme\+ci: log in with -u acme\+ci/,
  );
  const expired = { name: 'short', role: 'write', expiresAt: new Date(Date.now() + 2000).toISOString() };
  const short = await berth.manage('POST', '/namespaces/acme/robots/ci/tokens', expired);
  await push('acme/web/app:3', '--dest-creds', `acme+ci:${short.secret}`);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.match(
    await pushRefused('acme/web/app:4', '--dest-creds', `acme+ci:${short.secret}`),
    /unauthorized: the token is not valid: it has expired or was removed, or its account is disabled/,
  );
  const tokens = await berth.manage('GET', '/namespaces/acme/robots/ci/tokens');
  for (const { id } of tokens.items) await berth.manage('DELETE', `/namespaces/acme/robots/ci/tokens/${id}`);
  await refused('skopeo', 'inspect', insecure, `docker://${berth.host}/acme/web/app:1`);
});

test('what is public is everybody’s to pull, and search shows what one may see', { skip }, async (t) => {
  const { berth, home, podman, login, push, pushRefused } = await makePlace(t);
  await berth.addUsers('sam');
  await berth.manage('POST', '/organizations', { name: 'mirror', defaultVisibility: 'public' });
  await login('admin');
  for (const name of ['mirror/alpine:1', 'sam/app:1', 'hidden/app:1']) await push(name);
  await podman('logout', berth.host);
  const search = async () => {
    const found = await podman('search', insecure, '--format', '{{.Name}}', `${berth.host}/`);
    return found
      .trim()
      .split('\n')
      .map((name) => name.replace(`${berth.host}/`, ''));
  };

  assert.deepEqual(await search(), ['mirror/alpine']);
  const place = `dir:${home.path('pulled')}`;
  const from = `docker://${berth.host}/mirror/alpine:1`;
  await home.run('skopeo', ['copy', '--all', '--src-tls-verify=false', from, place]);
  assert.match(await pushRefused('mirror/alpine:2'), /unauthorized: authentication required/);
  await login('sam');
  assert.deepEqual(await search(), ['mirror/alpine', 'sam/app']);
  const tags = await podman('search', insecure, '--list-tags', `${berth.host}/sam/app`);
  assert.match(tags, /sam\/app +1$/m);
});

test('layers are mounted between repositories with the right to both, and copied without telling anything else', {
  skip,
}, async (t) => {
  const { berth, home, login, push } = await makePlace(t);
  await berth.addUsers('sam');
  await login('sam');
  await push('sam/app:1');
  const both = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  const [from, to] = [`docker://${berth.host}/sam/app:1`, `docker://${berth.host}/sam/copy:1`];
  await home.run('skopeo', ['copy', '--all', ...both, from, to]);
  const digestOf = async (reference: string) =>
    (await home.run('skopeo', ['inspect', insecure, '--raw', reference])).stdout;
  assert.equal(await digestOf(to), await digestOf(from));
});

test('a user who is disabled in the middle of a push does not finish it', { skip }, async (t) => {
  const { berth, home, login, refused } = await makePlace(t);
  await berth.addUsers('sam');
  await login('sam');
  await home.write('big/Containerfile', 'FROM scratch\nCOPY bytes /bytes\n');
  await writeFile(home.path('big', 'bytes'), randomBytes(256 << 20));
  const image = `${berth.host}/sam/big:1`;
  await home.run('buildah', ['build', '--tag', image, home.path('big')]);
  let ended = false;
  const pushing = refused('podman', 'push', insecure, image).finally(() => {
    ended = true;
  });
  const hasBegun = () => /"method":"POST","route":"blob_upload"/.test(berth.log());
  while (!ended && !hasBegun()) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(hasBegun() && !ended, 'the push is under way');
  await berth.manage('POST', '/users/sam/disable');
  assert.match(await pushing, /unauthorized|invalid username\/password/);
  const { repositories } = (await (
    await fetch(`${berth.url}/v2/_catalog`, {
      headers: basic('admin'),
    })
  ).json()) as { repositories: string[] };
  assert.deepEqual(repositories, []);
});
