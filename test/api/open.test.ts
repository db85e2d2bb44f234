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
