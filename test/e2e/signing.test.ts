// Simple signing with real gpg, podman and skopeo and no other server: signatures travel with the image, and a policy that asks
// for a key takes what it signed and refuses everything else.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { test } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { makeClientHome } from '../support/client-home.ts';
import { buildBaseImage, buildSmallImage } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { startBerth } from '../support/running-berth.ts';

const skip = skipWithout('podman', 'skopeo', 'buildah', 'busybox', 'gpg', 'root');
const insecure = '--tls-verify=false';
const insecureCopy = ['--src-tls-verify=false', '--dest-tls-verify=false'];

test('signatures of podman and skopeo are kept, and a policy accepts and refuses by them', {
  skip,
}, async (t) => {
  const berth = await startBerth(t, { environment: { BERTH_SIGNATURES_SIMPLE_SIGNING: 'true' } });
  const home = await makeClientHome(t);
  // Not the default place: gpg-agent's socket below the home would be longer than a socket's path may be.
  await mkdir(home.path('g'), { mode: 0o700 });
  const environment = { ...home.environment, GNUPGHOME: home.path('g') };
  const run = (program: string, args: readonly string[], expect: 'succeeds' | 'fails' = 'succeeds') =>
    home.run(program, args, { environment, expect });
  onEnd(t, async () => {
    await run('gpgconf', ['--kill', 'all']);
  });
  const makeKey = async (address: string) => {
    const noPassphrase = ['--batch', '--pinentry-mode', 'loopback', '--passphrase', ''];
    await run('gpg', [...noPassphrase, '--quick-generate-key', address, 'rsa2048', 'sign', 'never']);
    const file = home.path(`${address}.asc`);
    await run('gpg', ['--batch', '--armor', '--output', file, '--export', address]);
    return file;
  };
  const keys = { release: await makeKey('release@example.com'), other: await makeKey('other@example.com') };
  const policyOf = (keyPath: string) => {
    const signed = [
      { type: 'signedBy', keyType: 'GPGKeys', keyPath, signedIdentity: { type: 'matchRepository' } },
    ];
    const transports = {
      docker: { [berth.host]: signed },
      dir: { '': [{ type: 'insecureAcceptAnything' }] },
    };
    return JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }], transports });
  };
  const policy = await home.write('policy.json', policyOf(keys.release));
  const policyOfOther = await home.write('other-policy.json', policyOf(keys.other));

  await buildBaseImage(home);
  const image = await buildSmallImage(home, 'localhost/app:1', 'signed');
  const signed = `${berth.host}/acme/app:signed`;
  const unsigned = `${berth.host}/acme/app:unsigned`;
  await run('podman', ['push', insecure, '--sign-by', 'release@example.com', image, signed]);
  await run('podman', [
    'push',
    insecure,
    await buildSmallImage(home, 'localhost/app:2', 'unsigned'),
    unsigned,
  ]);
  let pulls = 0;
  const pull = (source: string, withPolicy: string, expect: 'succeeds' | 'fails' = 'succeeds') => {
    pulls += 1;
    const target = `dir:${home.path(`pulled-${pulls}`)}`;
    return run(
      'skopeo',
      ['--policy', withPolicy, 'copy', '--src-tls-verify=false', `docker://${source}`, target],
      expect,
    );
  };

  await t.test('what the key signed is accepted', async () => {
    await pull(signed, policy);
    await run('podman', ['pull', insecure, '--signature-policy', policy, signed]);
  });

  await t.test('what nobody signed, and what another key signed, is refused', async () => {
    const nobody = await pull(unsigned, policy, 'fails');
    assert.match(nobody.output, /A signature was required, but no signature exists/);
    const byPodman = await run('podman', ['pull', insecure, '--signature-policy', policy, unsigned], 'fails');
    assert.match(byPodman.output, /A signature was required, but no signature exists/);
    await pull(signed, policyOfOther, 'fails');
  });

  await t.test('skopeo adds a signature and keeps the one that was there', async () => {
    const copy = `${berth.host}/acme/copy:1`;
    const args = [
      ...insecureCopy,
      '--sign-by',
      'other@example.com',
      `docker://${signed}`,
      `docker://${copy}`,
    ];
    await run('skopeo', ['copy', ...args]);
    await pull(copy, policyOfOther);
    const inspected = await run('skopeo', [
      ...['inspect', insecure, '--format', '{{.Digest}}', `docker://${copy}`],
    ]);
    const digest = inspected.stdout.trim();
    const reply = await fetch(`${berth.url}/extensions/v2/acme/copy/signatures/${digest}`);
    const { signatures } = (await reply.json()) as { signatures: readonly { name: string }[] };
    assert.equal(signatures.length, 2);
    assert.ok(signatures.every(({ name }) => name.startsWith(`${digest}@`)));
    // The same copy again brings no more: what is there is told from what is new.
    await run('skopeo', ['copy', ...insecureCopy, `docker://${copy}`, `docker://${copy}`]);
  });

  await t.test('a pull asks for no signature where nobody requires one', async () => {
    await run('podman', ['pull', insecure, unsigned]);
  });
});
