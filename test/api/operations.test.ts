// Long work in the management API: collections, scrubs, backups and imports as operations, and their progress.
import assert from 'node:assert/strict';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { OperationRun } from '../../src/registry/operations.ts';
import { type ApiRegistry, assertProblem, startApi } from '../support/api.ts';
import { writeUnknownFiles } from '../support/care.ts';
import { pushImage } from '../support/client.ts';
import { readEvents } from '../support/events.ts';
import { startRegistry, temporaryFolder } from '../support/registry.ts';

const origin = { actor: 'test' };

/** Begins work of a kind that goes on until the test ends it, and tells how far it is when asked. */
async function beginWork({ registry }: ApiRegistry, kind: 'gc' | 'scrub' = 'gc') {
  const { operations } = registry.registry;
  const released = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<OperationRun>();
  const id = await operations.start(kind, {}, origin, async (run) => {
    begun.resolve(run);
    while (
      (await Promise.race([released.promise.then(() => true), run.step().then(() => pause(10))])) !== true
    );
    return { ended: 'well' };
  });
  return { id, run: await begun.promise, finish: () => released.resolve() };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function waitFor(api: ApiRegistry, id: number) {
  await api.registry.registry.operations.wait(id);
  return (await api.admin.get(`/operations/${id}`)).body;
}

describe('POST /operations', () => {
  it('begins a collection, tells where it is, and its report when it is done', async (t) => {
    const api = await startApi(t);
    const { status, body, headers } = await api.admin.post('/operations', { kind: 'gc' });
    assert.equal(status, 202);
    assert.equal(headers.get('location'), `/api/v1/operations/${body.id}`);
    assert.equal(body.actor, 'admin');
    const done = await waitFor(api, body.id);
    assert.equal(done.state, 'done');
    assert.deepEqual(done.request, { dryRun: false, now: false, force: false });
    assert.deepEqual(done.report.freed, { blobs: 0, bytes: 0, manifests: 0 });
    const listed = (await api.admin.get('/operations?kind=gc&state=done')).body.items;
    assert.deepEqual(listed, [done]);
    assert.deepEqual((await api.admin.get('/operations?kind=backup')).body.items, []);
  });

  it('answers 409 with the id where one of the kind has not ended, and begins another kind', async (t) => {
    const api = await startApi(t);
    const { id, finish } = await beginWork(api);
    const refused = await api.admin.post('/operations', { kind: 'gc' });
    assertProblem(refused, 409, 'conflict', new RegExp(`operation ${id} `));
    assert.equal(refused.headers.get('location'), `/api/v1/operations/${id}`);
    const scrub = await api.admin.post('/operations', { kind: 'scrub', deep: true });
    assert.equal(scrub.status, 202);
    assert.equal((await waitFor(api, scrub.body.id)).report.sound, true);
    finish();
    await waitFor(api, id);
    assert.equal((await api.admin.post('/operations', { kind: 'gc' })).status, 202);
  });

  it('refuses members of another kind, relative paths and what is missing, each with a sentence', async (t) => {
    const api = await startApi(t);
    const refusals: readonly (readonly [object, string, RegExp])[] = [
      [{ kind: 'gc', deep: true }, '/deep', /kind gc takes dryRun, now, force/],
      [{ kind: 'backup' }, '/destination', /no backup\.destination is set/],
      [{ kind: 'backup', destination: 'here' }, '/destination', /absolute/],
      [{ kind: 'backup', destination: join(api.registry.data, 'x') }, '/destination', /data folder/],
      [{ kind: 'import' }, '/source', /missing/],
      [{ kind: 'import', source: { type: 'oci', path: 'x' } }, '/source/path', /absolute/],
      [
        { kind: 'import', source: { type: 'oci', path: '/x', tags: ['v*'] } },
        '/source/tags',
        /type oci takes/,
      ],
      [{ kind: 'import', source: { type: 'registry' } }, '/source/url', /https/],
      [{ kind: 'import', source: { type: 'oci', path: '/x', repository: 'A' } }, '/source/repository', /./],
    ];
    for (const [body, pointer, detail] of refusals) {
      const refused = await api.admin.post('/operations', body);
      assertProblem(refused, 400, 'invalid', detail);
      assert.equal(refused.body.errors[0].pointer, pointer, refused.text);
    }
    assertProblem(await api.admin.post('/operations', { kind: 'retention' }), 400, 'invalid');
    assert.deepEqual((await api.admin.get('/operations')).body.items, []);
  });

  it('collects, scrubs and backs up while the registry is read-only, and imports nothing', async (t) => {
    const api = await startApi(t);
    const destination = join(await temporaryFolder(t), 'backups');
    await api.admin.put('/read-only', { readOnly: true });
    for (const body of [{ kind: 'gc', now: true }, { kind: 'scrub' }, { kind: 'backup', destination }]) {
      const { status, body: begun, text } = await api.admin.post('/operations', body);
      assert.equal(status, 202, text);
      assert.equal((await waitFor(api, begun.id)).state, 'done', body.kind);
    }
    const source = { type: 'oci', path: destination };
    assertProblem(await api.admin.post('/operations', { kind: 'import', source }), 503, 'read-only');
  });

  it('fails with what is wrong, which the status tells of', async (t) => {
    const api = await startApi(t);
    const destination = await temporaryFolder(t);
    await writeFile(join(destination, 'mine.txt'), 'x');
    const { body } = await api.admin.post('/operations', { kind: 'backup', destination });
    const failed = await waitFor(api, body.id);
    assert.equal(failed.state, 'failed');
    assert.match(failed.report.error, /holds other things/);
    const { warnings, backup } = (await api.admin.get('/status')).body;
    assert.equal(backup.last.state, 'failed');
    assert.ok(warnings.some(({ code }: { code: string }) => code === 'backup-failed'));
  });
});

describe('a database that is older than the files', () => {
  it('makes a collection leave the files, and the status say so until they are given up', async (t) => {
    const api = await startApi(t);
    await writeUnknownFiles(api.registry.data, 1100);
    const warnings = async () =>
      (await api.admin.get('/status')).body.warnings.map(({ detail }: { detail: string }) => detail);
    for (const force of [false, true]) {
      const { body } = await api.admin.post('/operations', { kind: 'gc', force });
      const { orphans } = (await waitFor(api, body.id)).report;
      assert.deepEqual([orphans.blobs, orphans.stopped], [1100, force ? undefined : 'too much']);
      if (force) assert.deepEqual(await warnings(), []);
      else
        assert.match(
          (await warnings()).join(),
          /^1100 files .* have no row .* an older berth\.db was put back/,
        );
    }
  });
});

describe('backups', () => {
  it('go to the folder of the settings, so many stay there, and are listed newest first', async (t) => {
    const destination = join(await temporaryFolder(t), 'backups');
    const api = await startApi(t, { 'backup.destination': destination, 'backup.keep': '2' });
    await push(api, 'acme/app');
    const names: string[] = [];
    for (let count = 0; count < 3; count += 1) {
      const { body } = await api.admin.post('/operations', { kind: 'backup' });
      const done = await waitFor(api, body.id);
      assert.deepEqual(done.request, { destination, keep: 2, verify: true });
      assert.deepEqual(done.report.verified.faults, []);
      names.push(done.report.name);
    }
    const { items } = (await api.admin.get('/backups')).body;
    assert.deepEqual(
      items.map(({ name }: { name: string }) => name),
      names.slice(1).reverse(),
    );
    assert.equal(items[0].tags, 1);
    assert.equal((await readdir(join(destination, 'backups'))).length, 2);
    assert.notEqual((await api.admin.get('/status')).body.backup.lastDoneAt, null);
    assert.equal(items[0].madeBy.isThis, true);

    const [unreadable = ''] = names.slice(1);
    await rm(join(destination, 'backups', unreadable, 'backup.json'));
    const { body } = await api.admin.post('/operations', { kind: 'backup' });
    assert.match((await waitFor(api, body.id)).report.notPruned, /^nothing was removed: /);
    const listed = (await api.admin.get('/backups')).body.items;
    assert.deepEqual(
      listed.filter(({ name }: { name: string }) => name === unreadable),
      [{ name: unreadable, unreadable: 'it has no backup.json' }],
    );
    const { warnings } = (await api.admin.get('/status')).body;
    const [kept] = warnings.filter(({ code }: { code: string }) => code === 'backups-kept');
    assert.match(kept.detail, /^the last backup was made, and older ones stay: nothing was removed: /);
  });

  it('are none where no folder is set', async (t) => {
    const { admin } = await startApi(t);
    assert.deepEqual((await admin.get('/backups')).body, { items: [], next: null });
  });
});

describe('imports', () => {
  it('carry another registry over with its token, which nobody reads afterwards', async (t) => {
    const [api, other] = await Promise.all([startApi(t), startApi(t)]);
    const { manifest } = await push(other, 'acme/app');
    const credentials = { username: 'admin', password: other.admin.secret };
    const source = { type: 'registry', url: other.registry.url, credentials, repositories: ['acme/**'] };
    const { body } = await api.admin.post('/operations', { kind: 'import', source });
    const done = await waitFor(api, body.id);
    assert.equal(done.state, 'done', JSON.stringify(done.report));
    assert.equal(done.report.tags.stored, 1);
    assert.equal(done.request.source.username, 'admin');
    assert.ok(!JSON.stringify(done).includes(other.admin.secret ?? '?'));
    const headers = { authorization: `Bearer ${api.admin.secret}`, accept: '*/*' };
    const pulled = await fetch(`${api.registry.url}/v2/acme/app/manifests/v1`, { headers });
    assert.equal(pulled.headers.get('docker-content-digest'), manifest);
  });

  it('fail with a sentence for a folder that is no registry', async (t) => {
    const api = await startApi(t);
    const path = await temporaryFolder(t);
    await mkdir(join(path, 'empty'));
    const source = { type: 'distribution', path };
    const { body } = await api.admin.post('/operations', { kind: 'import', source });
    const failed = await waitFor(api, body.id);
    assert.equal(failed.state, 'failed');
    assert.match(failed.report.error, /is not the folder of a registry/);
  });
});

describe('an operation', () => {
  it('is paused, resumed and cancelled, and after its end no more', async (t) => {
    const api = await startApi(t);
    const { id, run } = await beginWork(api);
    run.progress(3, 10);
    const running = (await api.admin.get(`/operations/${id}`)).body;
    assert.deepEqual([running.state, running.done, running.total], ['running', 3, 10]);
    assert.ok(running.rate > 0 && running.remainingSeconds > 0);
    const paused = await api.admin.post(`/operations/${id}/pause`);
    assert.deepEqual([paused.status, paused.body.state], [200, 'paused']);
    assert.equal((await api.admin.post(`/operations/${id}/resume`)).body.state, 'running');
    assert.equal((await api.admin.post(`/operations/${id}/cancel`)).status, 202);
    assert.equal((await waitFor(api, id)).state, 'cancelled');
    for (const verb of ['pause', 'resume', 'cancel']) {
      assertProblem(await api.admin.post(`/operations/${id}/${verb}`), 409, 'conflict', /has ended/);
    }
    for (const absent of ['999', '0', 'x', '1e3']) {
      assertProblem(await api.admin.get(`/operations/${absent}`), 404, 'not-found');
    }
  });

  it('tells of its progress as server-sent events, of its end once, and then nothing more', async (t) => {
    const api = await startApi(t);
    const { id, run, finish } = await beginWork(api);
    const url = `${api.registry.url}/api/v1/operations/${id}/events`;
    const headers = { authorization: `Bearer ${api.admin.secret}` };
    const reply = await fetch(url, { headers });
    assert.equal(reply.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    const reading = readEvents(reply);
    run.progress(1, 2);
    await pause(400);
    run.progress(2, 2);
    await pause(400);
    finish();
    const events = await reading;
    const progress = events.filter(({ event }) => event === 'progress');
    assert.ok(progress.length >= 2 && progress.length < 10, `${progress.length}`);
    assert.deepEqual(progress.at(-1)?.data.done, 2);
    const last = events.at(-1);
    assert.deepEqual([last?.event, last?.id, last?.data.state], ['end', 'end', 'done']);
    assert.deepEqual(last?.data.report, { ended: 'well' });
    // Whoever missed the end is told of it, whoever saw it is told to stop asking.
    const again = await readEvents(await fetch(url, { headers: { ...headers, 'last-event-id': '3' } }));
    assert.deepEqual(
      again.map(({ event }) => event),
      ['end'],
    );
    const over = await fetch(url, { headers: { ...headers, 'last-event-id': 'end' } });
    assert.equal(over.status, 204);
  });

  it('ends with the server, whose stop waits neither for it nor for those who watch it', async (t) => {
    const api = await startApi(t);
    const { id } = await beginWork(api);
    const headers = { authorization: `Bearer ${api.admin.secret}` };
    const reply = await fetch(`${api.registry.url}/api/v1/operations/${id}/events`, { headers });
    const reading = readEvents(reply);
    const began = performance.now();
    await api.registry.close();
    assert.ok(performance.now() - began < 5000);
    const last = (await reading).at(-1);
    assert.deepEqual([last?.event, last?.data.state], ['end', 'interrupted']);
  });

  it('is interrupted at the next start where the process was killed', async (t) => {
    const data = await temporaryFolder(t);
    const first = await startRegistry(t, {}, { data });
    await first.registry.metadata.care.operations.begin({ kind: 'gc', request: {}, origin });
    await first.close();
    const { registry } = await startRegistry(t, {}, { data });
    const found = await registry.metadata.care.operations.find(1);
    assert.equal(found?.state, 'interrupted');
  });
});

async function push(api: ApiRegistry, name: string): Promise<{ readonly manifest: string }> {
  const headers = { authorization: `Bearer ${api.admin.secret}` };
  const { digest } = await pushImage(api.registry.url, name, 'v1', name, headers);
  return { manifest: digest };
}
