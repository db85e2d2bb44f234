// Simple signatures over HTTP: what is taken, what is refused, and that the extension is silent where it is off.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { errorCode, pushImage } from '../support/client.ts';
import { startRegistry } from '../support/registry.ts';

const hex = 'a'.repeat(32);
const content = Buffer.from('an OpenPGP message').toString('base64');

describe('simple signatures', () => {
  it('are kept beside a manifest and given to whoever pulls it', async (t) => {
    const { url } = await startRegistry(t, { 'signatures.simpleSigning': 'true' });
    const { digest } = await pushImage(url, 'acme/team/web', 'v1');
    const place = `${url}/extensions/v2/acme/team/web/signatures/${digest}`;
    const put = (body: unknown, to = place) =>
      fetch(to, { method: 'PUT', body: typeof body === 'string' ? body : JSON.stringify(body) });
    const whole = { schemaVersion: 2, name: `${digest}@${hex}`, type: 'atomic', content };
    assert.equal((await fetch(`${url}/v2/`)).headers.get('x-registry-supports-signatures'), '1');
    assert.equal((await fetch(`${url}/v2/_catalog`)).headers.get('x-registry-supports-signatures'), null);

    const before = await fetch(place);
    assert.deepEqual([before.status, await before.json()], [200, { signatures: [] }]);
    assert.equal((await put(whole)).status, 201);
    assert.deepEqual(await (await fetch(place)).json(), { signatures: [whole] });

    const again = await put(whole);
    assert.deepEqual([again.status, await errorCode(again)], [409, 'SIGNATURE_EXISTS']);
    const other = `sha256:${'0'.repeat(64)}`;
    const faults = [
      ...['', '[]', 'null', '{', { ...whole, schemaVersion: 1 }, { ...whole, type: 'x' }],
      ...[
        { ...whole, content: '' },
        { ...whole, content: '=' },
        { ...whole, content: 7 },
      ],
      ...[`${digest}@`, hex, `${digest}@${hex}@${hex}`, `${other}@${hex}`, `${digest}@../../x`, 7].map(
        (name) => ({ ...whole, name }),
      ),
    ];
    for (const fault of faults) {
      const refused = await put(fault);
      assert.equal(refused.status, 400, JSON.stringify(fault));
      assert.equal(await errorCode(refused), 'SIGNATURE_INVALID');
    }
    const large = await put({ ...whole, content: 'A'.repeat(200_000) });
    assert.deepEqual([large.status, await errorCode(large)], [413, 'SIZE_INVALID']);
    const nowhere = await put(
      { ...whole, name: `${other}@${hex}` },
      `${url}/extensions/v2/acme/team/web/signatures/${other}`,
    );
    assert.deepEqual([nowhere.status, await errorCode(nowhere)], [404, 'MANIFEST_UNKNOWN']);
    const none = await fetch(`${url}/extensions/v2/acme/team/web/signatures/${other}`);
    assert.deepEqual([none.status, await none.json()], [200, { signatures: [] }]);
    const posted = await fetch(place, { method: 'POST' });
    assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, PUT']);
    const malformed = await fetch(`${url}/extensions/v2/acme/web/signatures/sha256:0`);
    assert.deepEqual([malformed.status, await errorCode(malformed)], [400, 'DIGEST_INVALID']);
  });

  it('need somebody who may push, and tell a stranger nothing', async (t) => {
    const settings = { 'signatures.simpleSigning': 'true', 'access.mode': 'token' };
    const { url } = await startRegistry(t, settings);
    const ping = await fetch(`${url}/v2/`);
    assert.deepEqual([ping.status, ping.headers.get('x-registry-supports-signatures')], [401, '1']);
    const place = `${url}/extensions/v2/acme/web/signatures/sha256:${'0'.repeat(64)}`;
    for (const [method, scope] of [
      ['GET', 'pull'],
      ['PUT', 'pull,push'],
    ] as const) {
      const reply = await fetch(place, { method });
      assert.equal(reply.status, 401);
      assert.match(
        reply.headers.get('www-authenticate') ?? '',
        new RegExp(`scope="repository:acme/web:${scope}"`),
      );
    }
  });

  it('are not announced and not there where the setting is off', async (t) => {
    const { url } = await startRegistry(t);
    assert.equal((await fetch(`${url}/v2/`)).headers.get('x-registry-supports-signatures'), null);
    const reply = await fetch(`${url}/extensions/v2/acme/web/signatures/sha256:${'0'.repeat(64)}`);
    assert.equal(reply.status, 404);
  });

  it('are not taken while the registry is read-only', async (t) => {
    const { url } = await startRegistry(t, {
      'signatures.simpleSigning': 'true',
      'storage.readOnly': 'true',
    });
    const place = `${url}/extensions/v2/acme/web/signatures/sha256:${'0'.repeat(64)}`;
    const reply = await fetch(place, { method: 'PUT', body: '{}' });
    assert.deepEqual([reply.status, await errorCode(reply)], [503, 'UNAVAILABLE']);
  });
});
