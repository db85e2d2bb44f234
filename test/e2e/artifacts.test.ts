// crane, oras, regctl and helm against Berth: images, artifacts with referrers, and charts.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { sha256, writeImageArchive, writeIndexLayout } from '../support/images.ts';
import { skipWithout } from '../support/programs.ts';
import { startBerth } from '../support/running-berth.ts';

test('crane pushes, lists, copies, changes and deletes images', { skip: skipWithout('crane') }, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const crane = async (...args: string[]) => (await home.run('crane', args)).stdout.trim();
  const app = `${berth.host}/crane/app`;
  await crane('append', '--new_layer', await writeImageArchive(home, 'one\n'), '--new_tag', `${app}:1`);
  const digest = await crane('digest', `${app}:1`);

  await t.test('mutate gives a changed image under a new tag', async () => {
    await crane('mutate', '--label', 'org.example.changed=yes', '--tag', `${app}:2`, `${app}:1`);
    const config = JSON.parse(await crane('config', `${app}:2`));
    assert.equal(config.config.Labels['org.example.changed'], 'yes');
    assert.notEqual(await crane('digest', `${app}:2`), digest);
  });

  await t.test('ls and catalog list tags and repositories', async () => {
    await crane('copy', `${app}:1`, `${berth.host}/crane/copy:1`);
    assert.deepEqual((await crane('ls', app)).split('\n'), ['1', '2']);
    assert.deepEqual((await crane('catalog', berth.host)).split('\n'), ['crane/app', 'crane/copy']);
    assert.equal(await crane('digest', `${berth.host}/crane/copy:1`), digest);
  });

  await t.test('an image that is pulled as a layout and pushed again keeps its digest', async () => {
    await crane('pull', '--format', 'oci', `${app}:1`, home.path('pulled'));
    await crane('push', home.path('pulled'), `${berth.host}/crane/again:1`);
    assert.equal(await crane('digest', `${berth.host}/crane/again:1`), digest);
  });

  await t.test('an image that is pulled as an archive has its files', async () => {
    await crane('export', `${app}:1`, home.path('files.tar'));
    const { stdout } = await home.run('tar', ['--extract', '--to-stdout', '--file', 'files.tar', 'text']);
    assert.equal(stdout, 'one\n');
  });

  await t.test('delete by digest takes the manifest and its tags away', async () => {
    await crane('delete', `${app}@${digest}`);
    assert.deepEqual((await crane('ls', app)).split('\n'), ['2']);
    await home.run('crane', ['digest', `${app}:1`], { expect: 'fails' });
  });
});

test('oras pushes files, attaches and discovers referrers, and copies the whole graph', {
  skip: skipWithout('oras'),
}, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const oras = async (...args: string[]) => (await home.run('oras', args)).stdout.trim();
  const bundle = `${berth.host}/oras/bundle:1`;
  await home.write('note.txt', 'a note\n');
  await home.write('sbom.json', '{"packages": []}\n');
  await home.write('signature.txt', 'signed\n');
  const discover = async (reference: string, type: string): Promise<string[]> => {
    const found = JSON.parse(
      await oras('discover', '--plain-http', '--format', 'json', '--artifact-type', type, reference),
    );
    return (found.referrers ?? []).map((entry: { digest: string }) => entry.digest);
  };

  await oras(
    ...['push', '--plain-http', '--artifact-type', 'application/vnd.example.bundle'],
    ...['--annotation', 'org.example.kind=test', bundle, 'note.txt:text/plain'],
  );

  await t.test('pull brings the file back', async () => {
    await oras('pull', '--plain-http', '--output', home.path('pulled'), bundle);
    assert.equal(await readFile(home.path('pulled', 'note.txt'), 'utf8'), 'a note\n');
  });

  await t.test('discover finds what was attached, filtered by type', async () => {
    await oras(
      ...['attach', '--plain-http', '--artifact-type', 'application/vnd.example.sbom'],
      ...[bundle, 'sbom.json:application/json'],
    );
    await oras(
      ...['attach', '--plain-http', '--artifact-type', 'application/vnd.example.signature'],
      ...[bundle, 'signature.txt:text/plain'],
    );
    assert.equal((await discover(bundle, 'application/vnd.example.sbom')).length, 1);
    assert.equal((await discover(bundle, 'application/vnd.example.signature')).length, 1);
    assert.equal((await discover(bundle, '')).length, 2);
    assert.equal((await discover(bundle, 'application/vnd.example.other')).length, 0);
  });

  await t.test('the registry answers referrers itself: no fallback tag appears', async () => {
    assert.deepEqual((await oras('repo', 'tags', '--plain-http', `${berth.host}/oras/bundle`)).split('\n'), [
      '1',
    ]);
  });

  await t.test('copy -r takes the referrers along', async () => {
    const copied = `${berth.host}/oras/copied:1`;
    await oras('copy', '-r', '--from-plain-http', '--to-plain-http', bundle, copied);
    assert.deepEqual((await discover(copied, '')).sort(), (await discover(bundle, '')).sort());
  });

  await t.test('a referrer that is deleted is no longer discovered', async () => {
    const [sbom] = await discover(bundle, 'application/vnd.example.sbom');
    await oras('manifest', 'delete', '--plain-http', '--force', `${berth.host}/oras/bundle@${sbom}`);
    assert.deepEqual(await discover(bundle, 'application/vnd.example.sbom'), []);
  });

  await t.test('blobs are pushed, fetched and deleted one by one', async () => {
    const digest = sha256('a note\n');
    await oras('blob', 'push', '--plain-http', `${berth.host}/oras/single`, 'note.txt');
    await oras(
      ...['blob', 'fetch', '--plain-http', '--output', home.path('fetched')],
      `${berth.host}/oras/single@${digest}`,
    );
    assert.equal(await readFile(home.path('fetched'), 'utf8'), 'a note\n');
    await oras('blob', 'delete', '--plain-http', '--force', `${berth.host}/oras/single@${digest}`);
    await home.run(
      'oras',
      ['blob', 'fetch', '--plain-http', '--output', '-', `${berth.host}/oras/single@${digest}`],
      { expect: 'fails' },
    );
  });
});

test('regctl copies indexes, deletes single tags and lists referrers', {
  skip: skipWithout('regctl'),
}, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const regctl = async (...args: string[]) => (await home.run('regctl', args)).stdout.trim();
  await regctl('registry', 'set', '--tls', 'disabled', berth.host);
  const multi = `${berth.host}/regctl/multi`;
  const layout = await writeIndexLayout(home.path('layout'), 'multi', ['amd64', 'arm64']);

  await t.test('image copy takes an index with everything below it', async () => {
    await regctl('image', 'copy', `ocidir://${layout.folder}:multi`, `${multi}:1`);
    await regctl('image', 'copy', `${multi}:1`, `${multi}:2`);
    await regctl('image', 'copy', `${multi}:1`, `${berth.host}/regctl/elsewhere:1`);
    assert.equal(await regctl('image', 'digest', `${multi}:2`), layout.digest);
    assert.equal(await regctl('image', 'digest', `${berth.host}/regctl/elsewhere:1`), layout.digest);
    assert.equal(await regctl('manifest', 'get', '--format', 'raw-body', `${multi}:1`), layout.index);
  });

  await t.test('tag delete takes one tag and leaves its sibling', async () => {
    assert.deepEqual((await regctl('tag', 'ls', multi)).split('\n'), ['1', '2']);
    await regctl('tag', 'delete', `${multi}:2`);
    assert.deepEqual((await regctl('tag', 'ls', multi)).split('\n'), ['1']);
    assert.equal(await regctl('image', 'digest', `${multi}:1`), layout.digest);
  });

  await t.test('artifacts refer to an image', async () => {
    await home.run(
      'regctl',
      ['artifact', 'put', '--artifact-type', 'application/vnd.example.scan', '--subject', `${multi}:1`],
      { input: 'no findings\n' },
    );
    const listing = JSON.parse(await regctl('artifact', 'list', '--format', '{{json .}}', `${multi}:1`));
    assert.equal(listing.descriptors.length, 1);
    assert.equal(listing.descriptors[0].artifactType, 'application/vnd.example.scan');
  });

  await t.test('blobs are put, read in full and deleted', async () => {
    const repository = `${berth.host}/regctl/blobs`;
    await home.run('regctl', ['blob', 'put', repository], { input: 'some bytes\n' });
    assert.equal(await regctl('blob', 'get', repository, sha256('some bytes\n')), 'some bytes');
    await regctl('blob', 'delete', repository, sha256('some bytes\n'));
    await home.run('regctl', ['blob', 'head', repository, sha256('some bytes\n')], { expect: 'fails' });
  });

  await t.test('manifest delete takes an index away, and repo ls lists what has manifests', async () => {
    await regctl('manifest', 'delete', `${berth.host}/regctl/elsewhere@${layout.digest}`);
    await home.run('regctl', ['manifest', 'head', `${berth.host}/regctl/elsewhere:1`], { expect: 'fails' });
    assert.ok((await regctl('repo', 'ls', berth.host)).split('\n').includes('regctl/multi'));
  });
});

test('helm pushes a chart and pulls it back', { skip: skipWithout('helm') }, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const charts = `oci://${berth.host}/charts`;
  await writeChart(home);
  await home.run('helm', ['package', home.path('chart'), '--destination', home.folder]);
  const packed = await readFile(home.path('greeter-1.2.3.tgz'));

  const pushed = await home.run('helm', ['push', '--plain-http', home.path('greeter-1.2.3.tgz'), charts]);
  assert.match(pushed.output, /Digest: sha256:[0-9a-f]{64}/);
  await home.run('helm', [
    ...['pull', '--plain-http', `${charts}/greeter`, '--version', '1.2.3'],
    ...['--destination', home.path('tmp')],
  ]);
  assert.deepEqual(await readFile(home.path('tmp', 'greeter-1.2.3.tgz')), packed);

  const shown = await home.run('helm', ['show', 'chart', '--plain-http', `${charts}/greeter`]);
  assert.match(shown.stdout, /description: Says hello/);
  const rendered = await home.run('helm', ['template', '--plain-http', 'mine', `${charts}/greeter`]);
  assert.match(rendered.stdout, /greeting: hello from mine/);
});

async function writeChart(home: ClientHome): Promise<void> {
  await home.write(
    'chart/Chart.yaml',
    'apiVersion: v2\nname: greeter\nversion: 1.2.3\ndescription: Says hello\n',
  );
  await home.write('chart/values.yaml', 'greeting: hello\n');
  await home.write(
    'chart/templates/settings.yaml',
    [
      'apiVersion: v1',
      'kind: ConfigMap',
      'metadata: {name: "{{ .Release.Name }}"}',
      'data:',
      '  greeting: {{ .Values.greeting }} from {{ .Release.Name }}',
      '',
    ].join('\n'),
  );
}
