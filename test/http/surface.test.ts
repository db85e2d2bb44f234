// What every request meets: the base, errors, methods, the guard of mode open, the read-only switch, health, metrics, TLS.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { request as requestSecurely } from 'node:https';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { beginUpload, pushBlob, pushImage, putManifest, sendRaw, sha256 } from '../support/client.ts';
import { eventually } from '../support/eventually.ts';
import { startRegistry, temporaryFolder } from '../support/registry.ts';
import { basic, startSignInRegistry } from '../support/sign-in.ts';

/** A request with headers that fetch would not send; resolves with status and body. */
async function requestWith(
  port: number,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; body: string }> {
  return await new Promise((resolve, reject) => {
    const get = request({ host: '127.0.0.1', port, path, headers }, (reply) => {
      let body = '';
      reply.on('data', (chunk) => {
        body += chunk;
      });
      reply.on('end', () => resolve({ status: reply.statusCode ?? 0, body }));
    });
    get.on('error', reject).end();
  });
}

describe('the base of the API', () => {
  it('answers with the version header everywhere', async (t) => {
    const { url } = await startRegistry(t);
    for (const path of ['/v2/', '/v2/no/such/manifests/x', '/nowhere', '/v2/_oci/ext/discover']) {
      const reply = await fetch(url + path);
      assert.equal(reply.headers.get('docker-distribution-api-version'), 'registry/2.0', path);
    }
    const ping = await fetch(`${url}/v2/`);
    assert.equal(await ping.text(), '{}');
    const bare = await fetch(`${url}/v2`, { redirect: 'manual' });
    assert.equal(bare.status, 301);
    assert.equal(bare.headers.get('location'), '/v2/');
  });

  it('answers an absolute-form target like any other', async (t) => {
    const { port } = await startRegistry(t);
    const answer = await sendRaw(
      port,
      'GET http://localhost/v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
  });

  it('shows a page to a browser', async (t) => {
    const { url, port } = await startRegistry(t);
    const reply = await fetch(url);
    assert.equal(reply.status, 200);
    assert.match(reply.headers.get('content-security-policy') ?? '', /default-src 'none'/);
    assert.ok(
      (await reply.text()).includes(`podman push --tls-verify=false alpine 127.0.0.1:${port}/alpine`),
    );
  });

  it('shows a page that promises nothing to whom the guard refuses', async (t) => {
    const { port } = await startRegistry(t);
    for (const [headers, reason] of [
      [{ host: 'registry.example.com' }, /the request is for host &#34;registry\.example\.com&#34;/],
      [{ host: 'localhost', via: '1.1 proxy' }, /came through a proxy/],
    ] as const) {
      const { status, body } = await requestWith(port, '/', headers);
      assert.equal(status, 200);
      assert.match(body, reason);
      assert.match(body, /access\.openOnNetwork/);
      assert.doesNotMatch(body, /may push|podman push/);
    }
    // A link on another site leads here, and is not who pushes.
    const linked = await requestWith(port, '/', { host: 'localhost', 'sec-fetch-site': 'cross-site' });
    assert.match(linked.body, /everybody on this machine may push and pull/);
    const opened = await startRegistry(t, { 'access.openOnNetwork': 'true', 'access.mode': 'open' });
    const { body } = await requestWith(opened.port, '/', { host: 'registry.example.com' });
    assert.match(body, /everybody who reaches this page may push and pull/);
  });

  it('sends what keeps an answer from acting as a page of this origin, with every answer', async (t) => {
    const { url } = await startSignInRegistry(t);
    const signedIn = basic('admin');
    const image = await pushImage(url, 'admin/web', 'v1', 'v1', signedIn);
    const large = await pushBlob(url, 'admin/web', Buffer.alloc(100_000), signedIn);
    const of = (path: string, headers = signedIn) => fetch(url + path, { headers });
    const blobs = [
      await of(`/v2/admin/web/blobs/${image.layer}`),
      await of(`/v2/admin/web/blobs/${large}`),
      await of(`/v2/admin/web/blobs/${large}`, { ...signedIn, range: 'bytes=1-2' }),
      await of(`/v2/admin/web/blobs/${large}`, { ...signedIn, 'if-none-match': '*' }),
    ];
    assert.deepEqual(
      blobs.map(({ status }) => status),
      [200, 200, 206, 304],
    );
    for (const { headers } of blobs) assert.equal(headers.get('content-security-policy'), 'sandbox');
    const others = [
      await of('/v2/admin/web/manifests/v1'),
      await of('/v2/admin/web/manifests/v2'),
      await of('/v2/', {}),
      await of('/token?service=berth'),
      await of('/token?service=berth', basic('admin', 'wrong')),
      await of('/v1/search?q=web'),
      await of('/livez'),
      await of('/nowhere'),
      await of('/v2/%zz'),
      await of('/'),
    ];
    for (const reply of [...blobs, ...others]) {
      const header = (name: string) => `${reply.url}: ${reply.headers.get(name)}`;
      assert.equal(header('x-content-type-options'), `${reply.url}: nosniff`);
      assert.equal(header('referrer-policy'), `${reply.url}: no-referrer`);
      assert.equal(header('cross-origin-opener-policy'), `${reply.url}: same-origin`);
      assert.equal(header('cross-origin-resource-policy'), `${reply.url}: same-origin`);
      await reply.arrayBuffer();
    }
  });

  it('shows a page with how to sign in where that is asked for', async (t) => {
    const { url, port } = await startSignInRegistry(t);
    const page = await (await fetch(url)).text();
    assert.ok(page.includes(`podman login --tls-verify=false 127.0.0.1:${port}`));
    assert.ok(page.includes('token: sign in to push'));
    const proxied = await startSignInRegistry(t, { 'http.publicUrl': 'https://registry.example.com' });
    assert.ok(
      (await (await fetch(proxied.url)).text()).includes('<pre>podman login registry.example.com</pre>'),
    );
  });
});

describe('mode open', () => {
  it('refuses a Host that is not this machine, and what came through a proxy', async (t) => {
    const { port } = await startRegistry(t);
    for (const headers of [
      { host: 'registry.example.com' },
      { host: '192.168.1.5:5000' },
      { host: 'localhost', forwarded: 'for=192.0.2.1' },
      { host: 'localhost', 'x-forwarded-for': '192.0.2.1' },
      { host: 'localhost', 'x-forwarded-proto': 'https' },
      { host: 'localhost', via: '1.1 proxy' },
      { host: 'localhost', 'x-real-ip': '192.0.2.1' },
      { host: 'localhost', origin: 'https://evil.example' },
      { host: 'localhost', origin: 'null' },
      { host: 'localhost', 'sec-fetch-site': 'cross-site' },
      { host: 'evil.example#.localhost' },
      { host: 'evil.example/.localhost' },
      { host: '.localhost' },
      { host: 'localhost:999999' },
    ]) {
      const { status, body } = await requestWith(port, '/v2/', headers as Record<string, string>);
      assert.equal(status, 403, JSON.stringify(headers));
      assert.equal(JSON.parse(body).errors[0].code, 'DENIED');
      assert.match(body, /access\.openOnNetwork/);
    }
    for (const host of [
      'localhost',
      'localhost:5000',
      '127.0.0.1',
      '127.1.2.3:80',
      '[::1]:5000',
      'berth.localhost',
    ]) {
      assert.equal((await requestWith(port, '/v2/', { host })).status, 200, host);
    }
  });

  it('refuses HTTP/1.0, which is how a bare proxy_pass of nginx passes on what others ask', async (t) => {
    const { port } = await startRegistry(t);
    const asNginx = (path: string) =>
      sendRaw(port, `GET ${path} HTTP/1.0\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`);
    assert.match(await asNginx('/v2/'), /^HTTP\/1\.1 403 .*came through a proxy/s);
    assert.match(await asNginx('/metrics'), /^HTTP\/1\.1 404 /);
    assert.match(await asNginx('/livez'), /^HTTP\/1\.1 200 /);
  });

  it('takes them where it was opened to the network', async (t) => {
    const { port } = await startRegistry(t, { 'access.openOnNetwork': 'true', 'access.mode': 'open' });
    const headers = { host: 'registry.example.com', 'x-forwarded-for': '192.0.2.1' };
    assert.equal((await requestWith(port, '/v2/', headers)).status, 200);
  });
});

describe('a read-only registry', () => {
  it('refuses writes with a sentence and serves pulls', async (t) => {
    const first = await startRegistry(t);
    const image = await pushImage(first.url, 'acme/web', 'v1');
    await first.close();
    const { url } = await startRegistry(t, { 'storage.readOnly': 'true' }, { data: first.data });
    assert.equal((await fetch(`${url}/v2/acme/web/manifests/v1`)).status, 200);
    assert.equal((await fetch(`${url}/v2/acme/web/blobs/${image.layer}`)).status, 200);
    for (const [method, path] of [
      ['POST', 'blobs/uploads/'],
      ['PUT', 'manifests/v2'],
      ['DELETE', 'manifests/v1'],
    ]) {
      const reply = await fetch(`${url}/v2/acme/web/${path}`, { method: method ?? '' });
      assert.equal(reply.status, 503);
      assert.match(await reply.text(), /read-only/);
    }
    assert.equal(
      ((await (await fetch(`${url}/readyz`)).json()) as { writes: string }).writes,
      'refused, read-only',
    );
  });
});

describe('a reload', () => {
  it('switches read-only, and leaves what the configuration says changes with the next start', async (t) => {
    const { url, config, reload } = await startRegistry(t);
    await pushImage(url, 'acme/web', 'v1');
    await reload({ ...config, storage: { ...config.storage, readOnly: true, delete: false } });
    const refused = await fetch(`${url}/v2/acme/web/manifests/v1`, { method: 'DELETE' });
    assert.equal(refused.status, 503);
    await reload({ ...config, storage: { ...config.storage, delete: false } });
    const removed = await fetch(`${url}/v2/acme/web/manifests/v1`, { method: 'DELETE' });
    assert.equal(removed.status, 202);
  });
});

describe('operation', () => {
  it('logs one line a request, with what it was about and nothing secret', async (t) => {
    const { url, logged } = await startRegistry(t);
    await pushImage(url, 'acme/web', 'v1');
    await fetch(`${url}/v2/acme/web/manifests/v1`, { headers: { authorization: 'Basic c2VjcmV0' } });
    await fetch(`${url}/livez`);
    const lines = logged.filter(({ msg }) => msg === 'request');
    const line = lines.at(-1);
    assert.equal(line?.route, 'manifest');
    assert.equal(line?.repository, 'acme/web');
    assert.equal(line?.reference, 'v1');
    assert.equal(line?.status, 200);
    assert.equal(line?.actor, 'anonymous');
    assert.equal(typeof line?.milliseconds, 'number');
    assert.ok(line?.requestId);
    assert.equal(JSON.stringify(logged).includes('c2VjcmV0'), false);
  });

  it('logs and counts a request that the client broke off', async (t) => {
    const { url, logged } = await startRegistry(t);
    const digest = await pushBlob(url, 'acme/web', Buffer.alloc(24 << 20, 'x'));
    await new Promise<void>((resolve) => {
      const get = request(`${url}/v2/acme/web/blobs/${digest}`, { agent: false }, (reply) => reply.destroy());
      get.on('error', () => {}).on('close', () => resolve());
      get.end();
    });
    const broken = await eventually(() => logged.find(({ aborted }) => aborted === true));
    assert.equal(broken?.route, 'blob');
    assert.equal(broken?.level, 30);
    const text = await (await fetch(`${url}/metrics`)).text();
    // The scrape itself is the one in flight.
    assert.match(text, /registry_http_in_flight_requests\{handler="metrics"\} 1\n/);
    assert.match(text, /registry_http_in_flight_requests\{handler="blob"\} 0\n/);
  });

  it('says 499 of an upload whose client left before the answer', async (t) => {
    const { url, port, logged } = await startRegistry(t);
    const { pathname } = new URL(await beginUpload(url, 'acme/web'));
    const head = `PATCH ${pathname} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nten bytes.`;
    await sendRaw(port, head, 200);
    const left = await eventually(() => logged.find(({ aborted }) => aborted === true));
    assert.equal(left?.status, 499);
    assert.equal(left?.level, 30);
    const text = await (await fetch(`${url}/metrics`)).text();
    assert.match(text, /requests_total\{handler="blob_upload_chunk",method="patch",code="499"\} 1\n/);
  });

  it('logs why a push failed, under the request id that the client is told', async (t) => {
    const { url, data, logged } = await startRegistry(t);
    const { body } = await pushImage(url, 'acme/web', 'v1');
    const db = new Database(join(data, 'berth.db'));
    db.exec("CREATE TRIGGER fault BEFORE INSERT ON tag BEGIN SELECT RAISE(ABORT, 'a fault'); END");
    db.close();
    const reply = await putManifest(url, 'acme/web', 'v2', Buffer.from(body));
    assert.equal(reply.status, 500);
    const { errors } = (await reply.json()) as { errors: [{ code: string; detail: { requestId: string } }] };
    assert.equal(errors[0].code, 'UNKNOWN');
    const line = await eventually(() => logged.find(({ msg }) => msg === 'request failed'));
    assert.equal(line?.requestId, errors[0].detail.requestId);
    assert.match(JSON.stringify(line?.err), /a fault/);
  });

  it('says that it lives and is ready', async (t) => {
    const { url } = await startRegistry(t);
    assert.equal((await fetch(`${url}/livez`)).status, 200);
    const ready = await fetch(`${url}/readyz`);
    assert.equal(ready.status, 200);
    assert.deepEqual(await ready.json(), { status: 'ready', pulls: 'served', writes: 'accepted' });
  });

  it('exposes metrics under the names of distribution, to this machine only', async (t) => {
    const { url, port } = await startRegistry(t);
    const commits = async () => {
      const text = await (await fetch(`${url}/metrics`)).text();
      return Number(
        /# TYPE berth_database_commits_total counter\nberth_database_commits_total (\d+)\n/.exec(text)?.[1],
      );
    };
    const commitsBefore = await commits();
    await pushImage(url, 'acme/web', 'v1');
    await fetch(`${url}/v2/acme/web/manifests/v1`);
    const text = await (await fetch(`${url}/metrics`)).text();
    assert.match(text, /registry_http_requests_total\{handler="manifest",method="get",code="200"\} 1/);
    assert.match(text, /registry_http_request_duration_seconds_bucket/);
    assert.match(text, /nodejs_eventloop_lag_p99_seconds/);
    assert.match(text, /berth_manifests 1/);
    assert.match(text, /handler="blob_upload",method="post",code="201"\} 2\n/);
    assert.match(text, /berth_blobs 2/);
    const pushed = (await commits()) - commitsBefore;
    // Whatever waits together is one commit, and the server has writes of its own.
    assert.ok(pushed >= 1, `${pushed} commits`);
    const proxied = await requestWith(port, '/metrics', {
      host: 'localhost',
      'x-forwarded-for': '192.0.2.1',
    });
    assert.equal(proxied.status, 404);
  });

  it('ends uploads that idled out', async (t) => {
    let seconds = 1_000_000;
    const clock = { unixSeconds: () => seconds, monotonicSeconds: () => seconds };
    const registry = await startRegistry(t, { 'storage.upload.idleExpiry': '1h' }, { clock });
    const location = await beginUpload(registry.url, 'acme/web');
    seconds += 3500;
    await registry.registry.sweep.endStaleUploads();
    assert.equal((await fetch(location)).status, 204);
    seconds += 200;
    await registry.registry.sweep.endStaleUploads();
    assert.equal((await fetch(location)).status, 404);
  });
});

describe('a plain-HTTP port', () => {
  it('answers a TLS handshake at once', async (t) => {
    const { port } = await startRegistry(t);
    const hello = Buffer.from('16030100c8010000c40303', 'hex');
    const begun = performance.now();
    const answer = await sendRaw(port, hello, 5000);
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.match(answer, /plain HTTP/);
    assert.ok(performance.now() - begun < 4000, 'the answer did not wait for the rest of the handshake');
  });
});

describe('TLS', () => {
  it('serves HTTPS, and takes a new certificate without dropping connections', async (t) => {
    const folder = await temporaryFolder(t);
    makeCertificate(folder, 'first');
    const registry = await startRegistry(t, {
      'http.tls.certificate': join(folder, 'tls.crt'),
      'http.tls.key': join(folder, 'tls.key'),
    });
    assert.match(registry.url, /^https:/);
    const { subject, headers } = await secureGet(registry.port);
    assert.equal(subject, 'first');
    assert.match(String(headers['strict-transport-security']), /max-age/);
    makeCertificate(folder, 'second');
    await registry.reload(registry.config);
    assert.equal((await secureGet(registry.port)).subject, 'second');
  });

  it('sends clients to HTTPS for their tokens', async (t) => {
    const folder = await temporaryFolder(t);
    makeCertificate(folder, 'first');
    const { port } = await startSignInRegistry(t, {
      'http.tls.certificate': join(folder, 'tls.crt'),
      'http.tls.key': join(folder, 'tls.key'),
    });
    const { headers } = await secureGet(port);
    const realm = `https://127.0.0.1:${port}/token`;
    assert.equal(headers['www-authenticate'], `Bearer realm="${realm}",service="berth"`);
  });
});

function makeCertificate(folder: string, name: string): void {
  const files = ['-keyout', join(folder, 'tls.key'), '-out', join(folder, 'tls.crt')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...key, ...files, '-days', '1', '-subj', `/CN=${name}`], {
    stdio: 'ignore',
  });
  assert.ok(readFileSync(join(folder, 'tls.crt')).length > 0);
}

async function secureGet(port: number) {
  return await new Promise<{ subject: string; headers: Record<string, unknown> }>((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port,
      path: '/v2/',
      rejectUnauthorized: false,
      agent: false as const,
    };
    const get = requestSecurely(options, (reply) => {
      const { subject } = (reply.socket as import('node:tls').TLSSocket).getPeerCertificate();
      reply.resume().on('end', () => resolve({ subject: String(subject.CN), headers: reply.headers }));
    });
    get.on('error', reject).end();
  });
}

describe('stopping', () => {
  it('lets a request in flight finish', async (t) => {
    const registry = await startRegistry(t);
    const content = Buffer.alloc(24 << 20, 'x');
    const digest = await pushBlob(registry.url, 'acme/web', content);
    const reply = await fetch(`${registry.url}/v2/acme/web/blobs/${digest}`);
    const closed = registry.close();
    assert.equal(sha256(Buffer.from(await reply.arrayBuffer())), digest);
    await closed;
    await assert.rejects(fetch(`${registry.url}/v2/`));
  });
});
