// The setup kit over HTTP: files made out to the host that was asked, without a secret.
import assert from 'node:assert/strict';
import { get } from 'node:http';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { errorCode } from '../support/client.ts';
import { startRegistry } from '../support/registry.ts';

describe('GET /-/setup/CLIENT', () => {
  it('gives files for the host by which it was asked', async (t) => {
    const { url } = await startRegistry(t);
    const { host } = new URL(url);
    const text = async (client: string) => {
      const reply = await fetch(`${url}/-/setup/${client}`);
      assert.equal(reply.status, 200);
      assert.equal(reply.headers.get('content-type'), 'text/plain; charset=utf-8');
      return await reply.text();
    };
    assert.ok((await text('podman')).includes(`location = "${host}"\ninsecure = true\n`));
    assert.deepEqual(JSON.parse(await text('docker')), { 'insecure-registries': [host] });
    const containerd = await text('containerd');
    assert.ok(containerd.includes(`server = "http://${host}"\n\n[host."http://${host}"]\n`), containerd);
    assert.match(await text('quadlet'), /^\[Container\]$/m);
    const secret = parse(await text('kubernetes')) as { stringData: Record<string, string> };
    assert.deepEqual(JSON.parse(secret.stringData['.dockerconfigjson'] ?? ''), {
      auths: { [host]: { username: '$BERTH_ROBOT', password: '$BERTH_TOKEN' } },
    });
  });

  it('knows that HTTPS makes some of them needless', async (t) => {
    const { url } = await startRegistry(t, {
      'http.publicUrl': 'https://registry.example.com',
      'access.mode': 'token',
    });
    const text = async (client: string) => await (await fetch(`${url}/-/setup/${client}`)).text();
    assert.match(await text('podman'), /^# registry\.example\.com speaks HTTPS: .*\n#.*\n$/);
    assert.deepEqual(JSON.parse(await text('docker')), {});
    const containerd = await text('containerd');
    assert.match(containerd, /reach Berth over HTTPS/);
    assert.ok(containerd.includes('[host."https://registry.example.com"]'));
  });

  it('says for whom there is one', async (t) => {
    const { url } = await startRegistry(t);
    const reply = await fetch(`${url}/-/setup/emacs`);
    assert.equal(reply.status, 404);
    assert.equal(await errorCode(reply.clone()), 'UNSUPPORTED');
    assert.match(await reply.text(), /podman, docker, containerd, kubernetes, quadlet/);
  });

  it('answers with its own address where the Host header is none', async (t) => {
    const { url } = await startRegistry(t);
    const { hostname, port, host } = new URL(url);
    for (const wrong of [':::', '[', 'a:99999', 'a"b', '$(id)']) {
      const text = await new Promise<string>((resolve, reject) => {
        const path = '/-/setup/podman';
        get({ hostname, port, path, headers: { host: wrong } }, async (reply) => {
          resolve(Buffer.concat(await reply.toArray()).toString());
        }).on('error', reject);
      });
      assert.ok(text.includes(`location = "${host}"`), text);
    }
  });
});
