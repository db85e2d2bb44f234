// The registry in the management API: what it is, how it is, its settings, the read-only switch, keys, and the description.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { assertProblem, startApi } from '../support/api.ts';
import { manualClock } from '../support/metadata.ts';

describe('GET /api/v1/', () => {
  it('tells anybody what this is, and nothing about its content', async (t) => {
    const { anonymous } = await startApi(t);
    for (const path of ['', '/']) {
      const { status, body } = await anonymous.get(path);
      assert.equal(status, 200);
      assert.deepEqual(Object.keys(body).sort(), ['links', 'name', 'version']);
    }
  });
});

describe('the description', () => {
  it('is OpenAPI 3.1, made from the routes, and consistent in itself', async (t) => {
    const { anonymous, registry } = await startApi(t);
    const { body: document } = await anonymous.get('/openapi.json');
    assert.match(document.openapi, /^3\.1\.\d+$/);
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods as Record<string, Operation>).map(([method, operation]) => ({
        path,
        method,
        operation,
      })),
    );
    const declared = registry.routes.filter(({ url }) => url.startsWith('/api/v1/'));
    const written = new Set(operations.map(({ path }) => path));
    for (const { url } of declared) assert.ok(written.has(url.replace(/:(\w+)/g, '{$1}')), url);
    const ids = operations.map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length);
    const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true });
    for (const { path, method, operation } of operations) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const inPath = (operation.parameters ?? []).filter((one) => one.in === 'path');
      assert.deepEqual(inPath.map(({ name }) => name).sort(), named.sort(), `${method} ${path}`);
      assert.ok(
        inPath.every(({ required }) => required),
        path,
      );
      assert.ok(
        operation.summary && operation.tags?.length === 1 && operation.responses,
        `${method} ${path}`,
      );
      assert.ok(
        Object.keys(operation.responses).some((status) => /^2\d\d$/.test(status)),
        `${method} ${path}`,
      );
      assert.ok(operation.responses.default?.content?.['application/problem+json'], `${method} ${path}`);
      for (const [status, { description }] of Object.entries(operation.responses)) {
        assert.ok(description && description !== 'Default Response', `${method} ${path} ${status}`);
      }
      const contents = [
        operation.requestBody?.content,
        ...Object.values(operation.responses).map((one) => one.content),
      ];
      for (const content of contents) {
        for (const { schema } of Object.values(content ?? {}))
          assert.ok(ajv.validateSchema(schema), JSON.stringify(ajv.errors));
        for (const { schema } of Object.values(content ?? {})) ajv.compile(schema);
      }
    }
  });

  it('comes as a page that needs no script and nothing from elsewhere', async (t) => {
    const { anonymous } = await startApi(t);
    const page = await anonymous.get('/docs');
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /^default-src 'none'; style-src 'sha256-/);
    assert.ok(!/unsafe|script-src/.test(policy));
    assert.ok(!/<script|\son\w+=|https?:\/\//i.test(page.text.replace(/&#\d+;/g, '')));
    assert.ok(page.text.includes('/api/v1/users/{user}/tokens'));
    // The same everywhere, so told once.
    assert.equal(page.text.split('application/problem+json').length, 2);
  });
});

interface Operation {
  readonly operationId: string;
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
  }[];
  readonly requestBody?: { readonly content?: Record<string, { schema: object }> };
  readonly responses: Record<
    string,
    { readonly description?: string; readonly content?: Record<string, { schema: object }> }
  >;
}

describe('status', () => {
  it('gives mode, counts, disk, and warns of tokens that end soon or that nobody uses', async (t) => {
    const clock = manualClock();
    const { admin, addUser, signIn, accounts, registry } = await startApi(t, {}, { clock });
    await addUser('ana');
    await signIn('ana', { expiresAt: clock.unixSeconds() + 3 * 86_400 });
    const { body } = await admin.get('/status');
    assert.equal(body.mode, 'token');
    assert.equal(body.writes, 'accepted');
    assert.equal(body.counts.users, 2);
    assert.ok(body.disk.total > body.disk.free && body.disk.free > 0);
    assert.deepEqual(body.warnings, [
      { code: 'token-expires', detail: 'token test 3 of ana ends in 3 days' },
    ]);
    clock.advance(91 * 86_400);
    await admin.get('/me');
    await registry.authority.credentials.flush();
    const later = (await admin.get('/status')).body.warnings;
    assert.deepEqual(later, [
      {
        code: 'token-unused',
        detail: 'token test 2 of ana was never used for 91 days: remove it if nobody needs it',
      },
    ]);
    await accounts.users.disable({ name: 'ana', origin: { actor: 'test' } });
    assert.deepEqual((await admin.get('/status')).body.warnings, []);
  });
});

describe('config', () => {
  it('is for auditors, and shows no secret', async (t) => {
    const { addUser } = await startApi(t);
    const auditor = await addUser('audi', { role: 'auditor' });
    const sten = await addUser('sten');
    const { body } = await auditor.get('/config');
    const shown = new Map(body.items.map((one: { path: string; value: unknown }) => [one.path, one.value]));
    assert.equal(shown.get('access.mode'), 'token');
    assert.equal(shown.get('access.adminPassword'), '(set)');
    assertProblem(await sten.get('/config'), 403, 'denied', /an auditor/);
  });
});

describe('read-only', () => {
  it('lets a robot be disabled, and nothing else of it be changed', async (t) => {
    const { admin, addOrganization, addRobot } = await startApi(t);
    await addOrganization('acme');
    await addRobot('acme+ci');
    const path = '/namespaces/acme/robots/ci';
    await admin.put('/read-only', { readOnly: true });
    assertProblem(await admin.patch(path, { enabled: false, description: 'x' }), 503, 'read-only');
    assert.equal((await admin.patch(path, { enabled: false })).status, 200);
    assertProblem(await admin.patch(path, { enabled: true }), 503, 'read-only');
  });

  it('keeps users and organizations, with which repositories would go', async (t) => {
    const { admin, addUser, addOrganization } = await startApi(t);
    await addUser('ana');
    await addOrganization('acme');
    await admin.put('/read-only', { readOnly: true });
    for (const path of ['/organizations/acme', '/users/ana?deleteRepositories=true']) {
      assertProblem(await admin.delete(path), 503, 'read-only');
      const planned = await admin.delete(`${path}${path.includes('?') ? '&' : '?'}dryRun=true`);
      assert.equal(planned.body.dryRun, true, path);
    }
    await admin.put('/read-only', { readOnly: false });
    assert.equal((await admin.delete('/organizations/acme')).status, 204);
  });

  it('refuses pushes and new access with the message, until it is switched back', async (t) => {
    const { admin, addUser, registry } = await startApi(t);
    await addUser('ana');
    const on = await admin.put('/read-only', { readOnly: true, message: 'moving to another disk' });
    assert.deepEqual(on.body, { readOnly: true, message: 'moving to another disk', until: 'restart' });
    const headers = { authorization: `Bearer ${admin.secret}` };
    const push = await fetch(`${registry.url}/v2/acme/web/blobs/uploads/`, { method: 'POST', headers });
    assert.equal(push.status, 503);
    assert.match(await push.text(), /moving to another disk/);
    assertProblem(await admin.post('/users', { name: 'ben' }), 503, 'read-only', /moving to another disk/);
    assert.equal((await admin.get('/status')).body.writes, 'refused, read-only');
    assert.equal((await admin.post('/users/ana/disable')).status, 200, 'what takes access away goes on');
    assert.deepEqual((await admin.put('/read-only', { readOnly: false })).body, {
      readOnly: false,
      message: null,
      until: null,
    });
    assert.equal((await admin.post('/users', { name: 'ben' })).status, 201);
    const audited = (await admin.get('/audit?action=read-only.set')).body.items;
    assert.equal(audited.length, 2);
    assert.deepEqual(audited[1].detail.after, {
      readOnly: true,
      message: 'moving to another disk',
      until: 'restart',
    });
  });

  it('cannot be switched off where the configuration asks for it', async (t) => {
    const { admin } = await startApi(t, { 'storage.readOnly': 'true' });
    assertProblem(await admin.put('/read-only', { readOnly: false }), 409, 'conflict', /storage\.readOnly/);
  });
});

describe('keys', () => {
  it('are listed without their secrets and rotated at once', async (t) => {
    const { admin } = await startApi(t);
    const [before] = (await admin.get('/keys')).body.items;
    assert.deepEqual(Object.keys(before).sort(), ['createdAt', 'kid', 'state']);
    const made = await admin.post('/keys');
    assert.equal(made.status, 201);
    assert.equal(made.body.state, 'current');
    assert.deepEqual(
      (await admin.get('/keys')).body.items.map(({ kid, state }: { kid: string; state: string }) => [
        kid,
        state,
      ]),
      [
        [made.body.kid, 'current'],
        [before.kid, 'previous'],
      ],
    );
  });
});
