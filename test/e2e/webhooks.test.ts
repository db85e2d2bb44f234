// Webhooks with real clients: podman pushes and a receiver checks envelope and signature; `berth events` follows while skopeo
// copies and deletes; a server that is killed goes on where it was.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { startCommand } from '../support/berth-command.ts';
import { makeClientHome } from '../support/client-home.ts';
import { buildBaseImage, buildSmallImage } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { type Received, startReceiver } from '../support/receiver.ts';
import { password } from '../support/sign-in.ts';
import { startSignInBerth } from '../support/sign-in-berth.ts';

const skip = skipWithout('podman', 'skopeo', 'buildah', 'busybox', 'root');

/** As docs/webhooks.md tells receivers to check it. */
function assertSigned({ headers, body }: Received, secret: string): void {
  const text = `${headers['x-berth-delivery']}.${headers['x-berth-timestamp']}.${body}`;
  const good = `sha256=${createHmac('sha256', secret).update(text).digest('hex')}`;
  assert.equal(headers['x-berth-signature-256'], good);
  assert.ok(Math.abs(Date.now() / 1000 - Number(headers['x-berth-timestamp'])) < 300);
}

test('podman pushes and skopeo copies and deletes; a webhook and berth events tell of it', {
  skip,
}, async (t) => {
  const environment = { BERTH_WEBHOOKS_ALLOWED_HOSTS: 'loopback' };
  const berth = await startSignInBerth(t, { environment });
  const home = await makeClientHome(t);
  const receiver = await startReceiver(t);
  await berth.manage('POST', '/organizations', { name: 'acme' });
  const wanted = { url: receiver.url, events: ['push', 'delete', 'mount'] };
  const hook = await berth.manage('POST', '/namespaces/acme/webhooks', wanted);

  await buildBaseImage(home);
  await buildSmallImage(home, 'localhost/app:1', 'told');
  const credentials = ['--tls-verify=false', '--username', 'admin', '--password', password];
  await home.run('podman', ['login', ...credentials, berth.host]);
  await home.run('podman', ['push', '--tls-verify=false', 'localhost/app:1', `${berth.host}/acme/app:1`]);

  const following = await startCommand(
    t,
    ['events', '-r', berth.url, '--repository', 'acme/**', '--type', 'push,delete'],
    { environment: { BERTH_TOKEN: await tokenOf(berth) } },
  );
  await following.untilPrinted(/following; Ctrl-C ends it/);

  await t.test('the envelope is the one of distribution, signed', async () => {
    const received = await receiver.until(1);
    const sent = received.find(({ json }) => json.events[0].target.tag === '1');
    assert.ok(sent, 'a push of the tag 1');
    assertSigned(sent, hook.secret);
    assert.equal(sent.headers['content-type'], 'application/vnd.docker.distribution.events.v2+json');
    const [event] = sent.json.events;
    assert.equal(sent.json.events.length, 1);
    assert.deepEqual(
      [event.action, event.target.repository, event.actor.name],
      ['push', 'acme/app', 'admin'],
    );
    assert.match(event.request.useragent, /^containers\//);
    const manifest = await fetch(event.target.url, {
      headers: {
        authorization: `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`,
        accept: event.target.mediaType,
      },
    });
    assert.equal(manifest.status, 200);
    assert.equal((await manifest.arrayBuffer()).byteLength, event.target.size);
    assert.equal(manifest.headers.get('content-type'), event.target.mediaType);
    assert.equal(manifest.headers.get('docker-content-digest'), event.target.digest);
  });

  await t.test('skopeo’s copy and delete are told, to both', async () => {
    const tls = ['--src-tls-verify=false', '--dest-tls-verify=false'];
    const to = `docker://${berth.host}/acme/copy:2`;
    await home.run('skopeo', ['copy', ...tls, `docker://${berth.host}/acme/app:1`, to]);
    await following.untilPrinted(/"type":"push".*"repository":"acme\/copy","tag":"2"/);
    await home.run('skopeo', ['delete', '--tls-verify=false', to]);
    await following.untilPrinted(/"type":"delete".*"repository":"acme\/copy","tag":null,"digest":"sha256:/);
    const deletions = async () => {
      for (let count = receiver.received.length; ; count += 1) {
        const all = await receiver.until(count);
        const actions = all.map(({ json }) => `${json.events[0].action} ${json.events[0].target.repository}`);
        if (actions.filter((text) => text === 'delete acme/copy').length === 2) return actions;
      }
    };
    const actions = await deletions();
    assert.ok(actions.includes('push acme/copy'));
    assert.ok(actions.includes('mount acme/copy'), 'skopeo mounts blobs within a registry');
    for (const one of receiver.received) assertSigned(one, hook.secret);
  });
  await following.end();

  await t.test('after kill -9 what was not told is told, once', async () => {
    const before = receiver.received.length;
    receiver.answer(() => undefined);
    await home.run('podman', ['push', '--tls-verify=false', 'localhost/app:1', `${berth.host}/acme/late:1`]);
    await receiver.until(before + 1);
    await berth.end('SIGKILL');
    receiver.answer(200);
    const again = await startSignInBerth(t, { environment, dataFolder: berth.dataFolder, port: berth.port });
    const tags = async () => {
      for (let count = before + 2; ; count += 1) {
        const all = await receiver.until(count);
        const told = all.slice(before + 1).filter(({ json }) => json.events[0].target.tag === '1');
        if (told.length > 0) return told;
      }
    };
    const [told] = await tags();
    assert.ok(told);
    assertSigned(told, hook.secret);
    assert.equal(told.json.events[0].target.repository, 'acme/late');
    await again.end('SIGTERM');
  });
});

async function tokenOf(berth: Awaited<ReturnType<typeof startSignInBerth>>): Promise<string> {
  const made = await berth.manage('POST', '/users/admin/tokens', { name: 'events', role: 'read' });
  return made.secret;
}
