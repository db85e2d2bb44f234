// The management API of an open registry: content is everybody's, and all else is for whoever has its machine.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, it } from 'node:test';
import { callLocally } from '../support/api.ts';
import { pushImage } from '../support/client.ts';
import { startRegistry } from '../support/registry.ts';

describe('an open registry', () => {
  it('lets everybody on its machine manage content, and nothing else over the network', async (t) => {
    const { url } = await startRegistry(t);
    await pushImage(url, 'acme/web', 'v1');
    const namespace = await fetch(`${url}/api/v1/namespaces/acme`);
    assert.equal(namespace.status, 200);
    const changed = await fetch(`${url}/api/v1/namespaces/acme`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: '{"description":"ours"}',
    });
    assert.equal(changed.status, 200);
    for (const [method, path] of [
      ['GET', '/me'],
      ['GET', '/users'],
      ['POST', '/users'],
      ['GET', '/status'],
      ['GET', '/namespaces'],
      ['GET', '/namespaces/acme/robots'],
      ['GET', '/namespaces/acme/grants'],
      ['POST', '/organizations'],
      ['GET', '/audit'],
      ['POST', '/keys'],
    ]) {
      const reply = await fetch(`${url}/api/v1${path}`, { method: method ?? '' });
      assert.equal(reply.status, 403, `${method} ${path}`);
      const problem = (await reply.json()) as { code: string; detail: string };
      assert.equal(problem.code, 'denied');
      assert.match(problem.detail, /this registry is open.*use `berth` on its machine/);
    }
    const session = await fetch(`${url}/api/v1/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"name":"ana","password":"x"}',
    });
    assert.equal(session.status, 403);
  });

  it('tells everybody what a change of content would do', async (t) => {
    const { url } = await startRegistry(t);
    const { digest } = await pushImage(url, 'acme/web', 'v1');
    const ask = async (method: string, path: string, body?: unknown, more: Record<string, string> = {}) => {
      const json = body === undefined ? {} : { 'content-type': 'application/json' };
      const reply = await fetch(`${url}/api/v1${path}`, {
        method,
        headers: { ...json, ...more },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: reply.status, etag: reply.headers.get('etag') ?? '', text: await reply.text() };
    };
    const retention = { policies: [{ keepTags: [{ mostRecentlyPushedCount: 1 }] }] };
    const protection = { items: [{ repositories: '**', tags: 'v*', rule: 'immutable' }] };
    for (const [rules, path] of [
      [protection, '/namespaces/acme/protection-rules'],
      [retention, '/namespaces/acme/retention-rules'],
    ] as const) {
      const { etag } = await ask('GET', path);
      const planned = await ask('PUT', `${path}?dryRun=true`, rules, { 'if-match': etag });
      assert.deepEqual([planned.status, JSON.parse(planned.text).dryRun], [200, true], planned.text);
      if (rules === retention) await ask('PUT', path, rules, { 'if-match': etag });
    }
    const run = await ask('POST', '/namespaces/acme/retention-runs?dryRun=true', {});
    assert.deepEqual([run.status, JSON.parse(run.text).dryRun], [200, true], run.text);
    for (const what of ['', '/-/tags/v1', `/-/manifests/${digest}`]) {
      const planned = await ask('DELETE', `/repositories/acme/web${what}?dryRun=true`);
      assert.deepEqual([planned.status, JSON.parse(planned.text).dryRun], [200, true], planned.text);
    }
    const many = await ask('DELETE', '/repositories/acme/web/-/tags?match=v*&dryRun=true');
    assert.deepEqual([many.status, JSON.parse(many.text).deleted.length], [200, 1], many.text);
    assert.equal((await fetch(`${url}/v2/acme/web/manifests/v1`)).status, 200);
  });

  it('refuses another host’s name here, too', async (t) => {
    const { port } = await startRegistry(t);
    for (const path of ['/api/v1/', '/api/v1/namespaces/acme', '/api/v1/openapi.json']) {
      const status = await new Promise((resolve, reject) => {
        const headers = { host: 'evil.example' };
        request({ host: '127.0.0.1', port, path, headers }, (reply) => resolve(reply.resume().statusCode))
          .on('error', reject)
          .end();
      });
      assert.equal(status, 403, path);
    }
  });

  it('is managed over its socket', async (t) => {
    const registry = await startRegistry(t);
    assert.equal((await callLocally(registry, 'POST', '/users', { name: 'ana' })).status, 201);
    assert.equal((await callLocally(registry, 'GET', '/status')).status, 200);
  });
});
