// Repositories in the management API.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertProblem, startApi } from '../support/api.ts';
import { pushImage } from '../support/client.ts';

describe('a repository', () => {
  it('becomes public, and private again, from the next request on', async (t) => {
    const api = await startApi(t);
    const { admin, registry } = api;
    await pushImage(registry.url, 'acme/team/web', 'v1', 'v1', { authorization: `Bearer ${admin.secret}` });
    const pull = async () => (await fetch(`${registry.url}/v2/acme/team/web/manifests/v1`)).status;
    assert.equal(await pull(), 401);
    const changes = { visibility: 'public', description: 'The shop' };
    const changed = await admin.patch('/repositories/acme%2Fteam%2Fweb', changes);
    assert.deepEqual(changed.body, {
      name: 'acme/team/web',
      namespace: 'acme',
      ...changes,
      deprecation: null,
    });
    assert.equal(await pull(), 200);
    const shown = await admin.get('/repositories/acme%2Fteam%2Fweb');
    assert.deepEqual([shown.body, shown.headers.get('etag')], [changed.body, changed.headers.get('etag')]);
    // The name as it stands means the same.
    const asItStands = `${registry.url}/api/v1/repositories/acme/team/web`;
    const headers = { authorization: `Bearer ${admin.secret}` };
    assert.deepEqual(await (await fetch(asItStands, { headers })).json(), shown.body);
    assert.equal(
      (await admin.patch('/repositories/acme%2Fteam%2Fweb', { visibility: 'private' })).status,
      200,
    );
    assert.equal(await pull(), 401);
    const events = (await admin.get('/audit?action=repository.update')).body.items;
    assert.deepEqual(
      events.map((event: { object: string; detail: Record<string, { visibility: string }> }) => [
        event.object,
        event.detail.before?.visibility,
        event.detail.after?.visibility,
      ]),
      [
        ['repository:acme/team/web', 'public', 'private'],
        ['repository:acme/team/web', 'private', 'public'],
      ],
    );
  });

  it('that is not there, or has blobs alone, is not found, and a wrong member is named', async (t) => {
    const api = await startApi(t);
    const { admin, registry } = api;
    const authorization = `Bearer ${admin.secret}`;
    await fetch(`${registry.url}/v2/acme/blobs-alone/blobs/uploads/`, {
      method: 'POST',
      headers: { authorization },
    });
    for (const name of ['acme/none', 'acme/blobs-alone']) {
      assertProblem(await admin.get(`/repositories/${encodeURIComponent(name)}`), 404, 'not-found');
      assertProblem(
        await admin.patch(`/repositories/${encodeURIComponent(name)}`, { description: 'x' }),
        404,
        'not-found',
      );
    }
    await pushImage(registry.url, 'acme/web', 'v1', 'v1', { authorization });
    assertProblem(await admin.patch('/repositories/acme%2Fweb', { visibility: 'open' }), 400, 'invalid');
    assertProblem(await admin.get('/repositories/Acme%2FWeb'), 400, 'invalid');
  });
});
