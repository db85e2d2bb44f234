// What a request gets that asks for what is not there: methods, paths and targets; and what is said of it in log and metrics.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, it } from 'node:test';
import { errorCode, sendRaw, sha256 } from '../support/client.ts';
import { eventually } from '../support/eventually.ts';
import { startRegistry } from '../support/registry.ts';
import { shared } from '../support/shared.ts';

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

describe('refusals', () => {
  const registry = shared((t) => startRegistry(t));

  /** With methods and paths that fetch would not send. */
  function ask(method: string, path: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port: registry().port, method, path }, (reply) => {
        let body = '';
        reply.on('data', (chunk) => {
          body += chunk;
        });
        reply.on('end', () => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body }));
      });
      asked.on('error', reject).end();
    });
  }

  it('are JSON for paths that there are not, whatever the method', async () => {
    for (const method of ['GET', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      const { status, body } = await ask(method, '/v2/acme/web/nothing');
      assert.equal(status, 404, method);
      assert.equal(JSON.parse(body).errors[0].code, 'NAME_UNKNOWN');
    }
    assert.equal((await ask('OPTIONS', '/api/v1/nothing')).status, 404);
    assert.equal((await ask('GET', '/api/v1/nothing')).status, 404);
  });

  it('name the methods that a path takes, for every other one', async () => {
    const digest = sha256('x');
    for (const [path, allow] of [
      ['/v2/', 'GET, HEAD'],
      ['/v2/_catalog?n=1', 'GET'],
      ['/v2/%5Fcatalog', 'GET'],
      ['/v2/acme/web/tags/list', 'GET'],
      ['/v2/acme%2Fweb/tags/list', 'GET'],
      ['/v2/acme/web/manifests/v1', 'GET, HEAD, PUT, DELETE'],
      [`/v2/acme/web/blobs/${digest}`, 'GET, HEAD, DELETE'],
      ['/v2/acme/web/blobs/uploads/', 'POST'],
      ['/v2/acme/web/blobs/uploads', 'POST'],
      ['/v2/acme/web/blobs/uploads/some-id', 'GET, PUT, PATCH, DELETE'],
      [`http://localhost/v2/acme/web/referrers/${digest}`, 'GET'],
      ['/readyz', 'GET, HEAD'],
    ] as const) {
      for (const method of ['OPTIONS', 'PROPFIND', 'TRACE', ...(allow.includes('POST') ? [] : ['POST'])]) {
        const { status, headers, body } = await ask(method, path);
        assert.equal(status, 405, `${method} ${path}`);
        assert.equal(headers.allow, allow, `${method} ${path}`);
        const [error] = JSON.parse(body).errors;
        assert.equal(error.code, 'UNSUPPORTED');
        assert.deepEqual(error.detail, { allow });
      }
    }
    const head = await ask('HEAD', '/v2/acme/web/tags/list');
    assert.deepEqual([head.status, head.headers.allow, head.body], [405, 'GET', '']);
  });

  it('name them in the management API, too', async () => {
    for (const [path, allow] of [
      ['/api/v1', 'GET'],
      ['/api/v1/me', 'GET'],
      ['/api/v1/users?q=a', 'GET, POST'],
      // Also what a user of the name import has.
      ['/api/v1/users/import', 'GET, POST, PATCH, DELETE'],
      ['/api/v1/users/alice', 'GET, PATCH, DELETE'],
      ['/api/v1/repositories/acme/web', 'GET, PATCH, DELETE'],
      ['/api/v1/repositories/acme/web/-/usage', 'GET'],
    ] as const) {
      for (const method of ['OPTIONS', 'PROPFIND', 'PUT']) {
        const { status, headers, body } = await ask(method, path);
        assert.equal(status, 405, `${method} ${path}`);
        assert.equal(headers.allow, allow, `${method} ${path}`);
        assert.match(String(headers['content-type']), /^application\/problem\+json/);
        assert.equal(JSON.parse(body).requestId, headers['x-request-id']);
      }
    }
  });

  it('are JSON for what is no valid URL, and do not repeat it', async () => {
    const { status, body } = await ask('GET', '/v2/%zz/manifests/x');
    assert.equal(status, 400);
    assert.equal(JSON.parse(body).errors[0].code, 'NAME_INVALID');
    const long = await ask('GET', `/v2/acme/web/manifests/${'x'.repeat(9000)}`);
    assert.equal(long.status, 414);
    assert.equal(JSON.parse(long.body).errors[0].code, 'SIZE_INVALID');
    assert.ok(long.body.length < 300, long.body);
  });

  it('of targets are like every other one: with a request id, logged, counted', async () => {
    const countOf = async (code: number) => {
      const text = await (await fetch(`${registry().url}/metrics`)).text();
      const line = new RegExp(
        `registry_http_requests_total\\{handler="other",method="get",code="${code}"\\} (\\d+)`,
      );
      return Number(line.exec(text)?.[1] ?? 0);
    };
    for (const [path, status] of [
      ['/v2/%zz/manifests/x', 400],
      [`/v2/acme/web/manifests/${'x'.repeat(9000)}`, 414],
      ['/api/v1/users/%zz', 400],
      [`/api/v1/users/${'x'.repeat(9000)}`, 414],
    ] as const) {
      const counted = await countOf(status);
      const reply = await ask('GET', path);
      assert.equal(reply.status, status, path);
      const id = reply.headers['x-request-id'];
      assert.ok(id, path);
      for (const name of ['x-content-type-options', 'referrer-policy', 'cache-control'])
        assert.ok(reply.headers[name], `${path} ${name}`);
      const line = await eventually(() => registry().logged.find(({ requestId }) => requestId === id));
      assert.equal(line?.status, status);
      assert.equal(line?.address, '127.0.0.1');
      assert.equal(line?.level, 30);
      assert.equal(await countOf(status), counted + 1, path);
    }
    assert.equal(JSON.stringify(registry().logged).includes('xxxxxxxxxx'.repeat(20)), false);
  });

  it('of targets leave the connection usable, also after a body', async () => {
    const text = await sendRaw(
      registry().port,
      'POST /v2/%zz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello' +
        'GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    );
    assert.match(text, /^HTTP\/1\.1 400 .*HTTP\/1\.1 200 /s);
  });

  it('reach a client that is still sending its body', async () => {
    const body = Buffer.alloc(8 << 20);
    const reply = await fetch(`${registry().url}/v2/ACME/blobs/uploads/?digest=${sha256(body)}`, {
      method: 'POST',
      body,
    });
    assert.equal(reply.status, 400);
    assert.equal(await errorCode(reply), 'NAME_INVALID');
  });
});
