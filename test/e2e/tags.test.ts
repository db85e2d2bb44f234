// Tags as people manage them with the command line, seen by podman, skopeo and regctl: retag, copy without bytes, the past of a
// tag, what was overwritten or deleted comes back, and the warning of something that should not be used any more.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { makeClientHome } from '../support/client-home.ts';
import { commandLine } from '../support/command-line.ts';
import { buildBaseImage, buildSmallImage, writeIndexLayout } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { startBerth } from '../support/running-berth.ts';

describe('tags', () => {
  test('podman pulls what was retagged, copied, overwritten and deleted', {
    skip: skipWithout('podman', 'skopeo', 'buildah', 'busybox', 'root'),
  }, async (t) => {
    const server = await startBerth(t);
    const home = await makeClientHome(t);
    const berth = commandLine({ data: server.dataFolder });
    const at = (reference: string) => `${server.host}/${reference}`;
    const push = (image: string, reference: string) =>
      home.run('podman', ['push', '--tls-verify=false', image, at(reference)]);
    const skopeo = async (...args: string[]) => (await home.run('skopeo', args)).stdout.trim();
    const digestOf = (reference: string) =>
      skopeo('inspect', '--tls-verify=false', '--format', '{{.Digest}}', `docker://${at(reference)}`);
    const textOf = async (reference: string) => {
      await home.run('podman', ['pull', '--tls-verify=false', '--quiet', at(reference)]);
      const [image] = JSON.parse((await home.run('podman', ['image', 'inspect', at(reference)])).stdout);
      return image.Labels['org.example.text'] as string;
    };
    const files = () => readdirSync(join(server.dataFolder, 'blobs'), { recursive: true }).length;

    await buildBaseImage(home);
    for (const text of ['first', 'second']) await buildSmallImage(home, `localhost/app:${text}`, text);
    await push('localhost/app:first', 'team/app:latest');
    const first = await digestOf('team/app:latest');

    await t.test('a list shows the image with its platform', async () => {
      const { items } = JSON.parse(await berth('tag', 'list', 'team/app', '--json'));
      assert.deepEqual([items[0].name, items[0].digest], ['latest', first]);
      assert.equal(items[0].platforms.length, 1);
      assert.match(items[0].platforms[0], /^linux\//);
    });

    await t.test('a retag is pulled at once', async () => {
      await berth('tag', 'set', 'team/app:stable', 'latest');
      assert.equal(await digestOf('team/app:stable'), first);
      assert.equal(await textOf('team/app:stable'), 'first');
    });

    await t.test('a copy to another repository is pulled, and brings no file', async () => {
      const before = files();
      assert.match(await berth('tag', 'copy', 'team/app:latest', 'prod/app:1'), /copied {2}1 manifest/);
      assert.equal(files(), before);
      assert.equal(await textOf('prod/app:1'), 'first');
    });

    await t.test('an overwritten tag goes back, and its history tells of it', async () => {
      await push('localhost/app:second', 'team/app:latest');
      assert.equal(await textOf('team/app:latest'), 'second');
      await berth('tag', 'restore', 'team/app:latest');
      assert.equal(await textOf('team/app:latest'), 'first');
      const { items } = JSON.parse(await berth('tag', 'history', 'team/app:latest', '--json'));
      assert.deepEqual(
        items.map(({ action }: { action: string }) => action),
        ['restore', 'push', 'push'],
      );
    });

    await t.test('what skopeo deleted comes back with its tags', async () => {
      await skopeo('delete', '--tls-verify=false', `docker://${at('team/app:latest')}`);
      const gone = await home.run('podman', ['pull', '--tls-verify=false', at('team/app:stable')], {
        expect: 'fails',
      });
      assert.match(gone.output, /manifest unknown|has no manifest/);
      const [id = ''] = (await berth('deleted', 'list', 'team/app', '-q')).split('\n');
      const told = await berth('deleted', 'restore', id);
      assert.match(told, /team\/app:latest is back\nteam\/app:stable is back\n$/);
      assert.equal(await digestOf('team/app:stable'), first);
      await home.run('podman', ['rmi', '--all', '--force']);
      assert.equal(await textOf('team/app:latest'), 'first');
    });

    await t.test('a deleted manifest comes back by its tag alone', async () => {
      await skopeo('delete', '--tls-verify=false', `docker://${at('prod/app:1')}`);
      await berth('tag', 'restore', 'prod/app:1', '--to', first);
      assert.equal(await digestOf('prod/app:1'), first);
    });
  });

  test('regctl shows the warning of a deprecated tag and repository, and copies of an index are whole', {
    skip: skipWithout('regctl'),
  }, async (t) => {
    const server = await startBerth(t);
    const home = await makeClientHome(t);
    const berth = commandLine({ data: server.dataFolder });
    const regctl = (...args: string[]) => home.run('regctl', args);
    await regctl('registry', 'set', '--tls', 'disabled', server.host);
    const layout = await writeIndexLayout(home.path('layout'), 'multi', ['amd64', 'arm64']);
    const image = `${server.host}/old/multi`;
    await regctl('image', 'copy', `ocidir://${layout.folder}:multi`, `${image}:1`);

    await t.test('the tag', async () => {
      assert.doesNotMatch((await regctl('manifest', 'get', `${image}:1`)).stderr, /deprecated/);
      await berth(
        'tag',
        'deprecate',
        'old/multi:1',
        '--message',
        'no "fixes" any more',
        '--replacement',
        'old/multi:2',
      );
      for (const command of [
        ['manifest', 'get'],
        ['manifest', 'head'],
        ['image', 'digest'],
      ]) {
        const { stderr } = await regctl(...command, `${image}:1`);
        assert.match(stderr, /old\/multi:1 is deprecated: no 'fixes' any more; use old\/multi:2 instead/);
      }
    });

    await t.test('the repository', async () => {
      await berth('tag', 'deprecate', 'old/multi:1', '--remove');
      await berth('tag', 'deprecate', 'old/multi', '--message', 'zieht um nach neu/multi, schöne Grüße');
      assert.match(
        (await regctl('manifest', 'get', `${image}:1`)).stderr,
        /old\/multi:1 is deprecated: .*schöne Grüße/,
      );
      await berth('tag', 'deprecate', 'old/multi', '--remove');
      assert.doesNotMatch((await regctl('manifest', 'get', `${image}:1`)).stderr, /deprecated/);
    });

    await t.test('a copied index', async () => {
      assert.match(await berth('tag', 'copy', 'old/multi:1', 'new/multi:1'), /copied {2}3 manifests/);
      assert.match(await berth('tag', 'list', 'new/multi'), /linux\/amd64, linux\/arm64/);
      const target = `ocidir://${home.path('back')}:multi`;
      await regctl('image', 'copy', `${server.host}/new/multi:1`, target);
      assert.equal((await regctl('image', 'digest', target)).stdout.trim(), layout.digest);
    });
  });
});
