// Rules over tags as people meet them: podman and skopeo against protected tags, and a run of retention by command.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { runCommand } from '../support/berth-command.ts';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { skipWithout } from '../support/programs.ts';
import { startBerth } from '../support/running-berth.ts';

const skip = skipWithout('podman', 'buildah', 'skopeo', 'root');

async function buildImage(home: ClientHome, name: string): Promise<string> {
  const folder = home.path(`build-${name}`);
  await home.write(`build-${name}/Containerfile`, 'FROM scratch\nCOPY data /data\n');
  await writeFile(join(folder, 'data'), randomBytes(1000));
  await home.run('buildah', ['build', '--layers=false', '--tag', `localhost/${name}:1`, folder]);
  return `localhost/${name}:1`;
}

test('podman and skopeo are told which rule protects a tag, and retention removes what none keeps', {
  skip,
}, async (t) => {
  const berth = await startBerth(t, { environment: { BERTH_COLLECTOR_LEASE: '2s' } });
  const home = await makeClientHome(t);
  const environment = { BERTH_DATA: berth.dataFolder, HOME: home.folder };
  const command = async (...args: string[]) => {
    const ended = await runCommand(t, args, { environment, folder: home.folder });
    assert.equal(ended.code, 0, `berth ${args.join(' ')}: ${ended.stderr}`);
    return ended.stdout;
  };
  const images = [];
  for (const name of ['one', 'two', 'three']) images.push(await buildImage(home, name));
  const [one = '', two = '', three = ''] = images;
  const push = (image: string, tag: string, expect?: 'fails') =>
    home.run(
      'podman',
      ['push', '--tls-verify=false', image, `${berth.host}/rules/app:${tag}`],
      expect && { expect },
    );
  const place = `docker://${berth.host}/rules/app`;
  const digestOf = async (tag: string) =>
    (
      await home.run('skopeo', [
        'inspect',
        '--tls-verify=false',
        '--format',
        '{{.Digest}}',
        `${place}:${tag}`,
      ])
    ).stdout.trim();
  const tagsOf = async () =>
    JSON.parse((await home.run('skopeo', ['list-tags', '--tls-verify=false', place])).stdout).Tags;

  await push(one, 'v1.0');
  const digest = await digestOf('v1.0');

  await t.test('podman cannot move an immutable tag, and shows the sentence', async () => {
    await command('protect', 'add', 'rules/**', '--tags', 'v*', '--rule', 'immutable');
    const { output } = await push(two, 'v1.0', 'fails');
    assert.match(output, /tag v1\.0 is immutable \(rule v\* of rules\)\. Push another tag\./);
    assert.equal(await digestOf('v1.0'), digest);
    await push(one, 'v1.0');
    await push(two, 'v1.1');
  });

  await t.test('skopeo cannot copy onto it either', async () => {
    const args = [
      'copy',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      `${place}:v1.1`,
      `${place}:v1.0`,
    ];
    const { output } = await home.run('skopeo', args, { expect: 'fails' });
    assert.match(output, /tag v1\.0 is immutable \(rule v\* of rules\)/);
  });

  await t.test('skopeo delete of a protected tag or digest is refused, and the image stays', async () => {
    for (const reference of [`${place}:v1.0`, `${place}@${digest}`]) {
      const args = ['delete', '--tls-verify=false', reference];
      const { output } = await home.run('skopeo', args, { expect: 'fails' });
      assert.match(output, /v1\.0, which is immutable|403|DENIED|denied/, output);
    }
    assert.equal(await digestOf('v1.0'), digest);
    await home.run('podman', ['pull', '--tls-verify=false', `${berth.host}/rules/app:v1.0`]);
  });

  await t.test('a run of retention removes what no rule keeps, to the trash', async () => {
    for (const [index, image] of [one, two, three].entries()) await push(image, `build-${index + 1}`);
    await push(three, 'nightly');
    const gone = await digestOf('nightly');
    const rules =
      'policies:\n  - keepTags:\n      - patterns: ["^build"]\n        mostRecentlyPushedCount: 2\n';
    await writeFile(join(home.folder, 'rules.yaml'), rules);
    await command('retention', 'set', 'rules', '--file', 'rules.yaml');
    // The lease is uptime.
    await pause(4000);
    const told = await command('retention', 'preview', 'rules');
    assert.match(told, /rules\/app:build-1 .* goes +no rule keeps it/);
    assert.match(told, /rules\/app:nightly .* goes +no pattern matches/);
    const report = await command('retention', 'run', 'rules', '--yes');
    assert.match(report, /v1\.0 .* stays +protected \(rule v\* of rules\)/);
    assert.match(report, /^2 tags and 0 manifests have gone, 4 tags stay/m);
    assert.deepEqual(await tagsOf(), ['build-2', 'build-3', 'v1.0', 'v1.1']);
    assert.equal(await digestOf('build-3'), gone);

    const alone = 'policies:\n  - keepTags:\n      - patterns: ["^none$"]\n';
    await writeFile(join(home.folder, 'rules.yaml'), alone);
    await command('retention', 'set', 'rules/app', '--file', 'rules.yaml');
    await pause(4000);
    assert.match(await command('retention', 'run', 'rules', '--yes'), /2 tags and 1 manifest have gone/);
    assert.deepEqual(await tagsOf(), ['v1.0', 'v1.1']);
    const db = new Database(join(berth.dataFolder, 'berth.db'), { readonly: true });
    const trash = db.prepare('SELECT digest, tags, deleted_by FROM trash').all();
    db.close();
    assert.deepEqual(trash, [{ digest: gone, tags: '["build-3"]', deleted_by: 'retention' }]);
    assert.match(await command('retention', 'reports', 'rules'), /done +2 +1 /);
  });
});
