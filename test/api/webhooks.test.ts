// The management API of webhooks: what is taken and refused, what is told of secrets, tests, deliveries and redelivery.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type ApiRegistry, assertProblem, startApi } from '../support/api.ts';
import { pushImage } from '../support/client.ts';
import { startReceiver } from '../support/receiver.ts';
import { eventually } from '../support/webhooks.ts';

const url = 'https://ci.example.com/hook?token=t0ken';

describe('webhooks', () => {
  let api: ApiRegistry;
  const endings: (() => unknown)[] = [];
  const later = { after: (end: () => unknown) => endings.push(end) } as unknown as TestContext;
  before(async () => {
    api = await startApi(later, { 'webhooks.allowedHosts': 'external,127.0.0.1' });
    await api.addUser('ada');
    await api.addOrganization('acme', 'ada');
  });
  after(async () => {
    for (const end of endings.reverse()) await end();
  });
  const push = (repository: string, tag = 'v1') =>
    pushImage(api.registry.url, repository, tag, `${repository}${tag}${Math.random()}`, {
      authorization: `Bearer ${api.admin.secret}`,
    });

  it('are made, shown, changed and removed, and tell their secret once', async () => {
    const ada = await api.signIn('ada');
    const made = await ada.post('/namespaces/acme/webhooks', { url, events: ['push'] });
    assert.equal(made.status, 201, made.text);
    assert.match(made.body.secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
    const { secret, ...shown } = made.body;
    const { id } = shown;
    assert.deepEqual([shown.repositories, shown.format, shown.enabled], ['acme/**', 'distribution', true]);
    const place = `/namespaces/acme/webhooks/${id}`;
    assert.equal(made.headers.get('location'), `/api/v1${place}`);
    const found = await ada.get(place);
    assert.deepEqual([found.status, found.body], [200, shown]);
    const changes = { events: ['push', 'delete'], repositories: 'acme/web-*', format: 'cloudevents' };
    const changed = await ada.patch(place, changes);
    assert.deepEqual(changed.body, { ...shown, ...changes });
    assert.notEqual(changed.headers.get('etag'), found.headers.get('etag'));
    const stale = { headers: { 'if-match': found.headers.get('etag') ?? '' } };
    assertProblem(await ada.patch(place, { enabled: false }, stale), 412, 'precondition-failed');
    const replaced = await ada.patch(place, { secret: 'a secret of my own' });
    assert.notEqual(replaced.headers.get('etag'), changed.headers.get('etag'));
    assert.equal(replaced.text.includes('my own'), false);
    assert.equal((await ada.patch(place, { enabled: false })).body.enabled, false);
    assert.deepEqual((await ada.get('/namespaces/acme/webhooks')).body.items.length, 1);
    const plan = await ada.delete(`${place}?dryRun=true`);
    assert.deepEqual(plan.body, { dryRun: true, removes: [`webhook:acme/${id}`] });
    assert.equal((await ada.delete(place)).status, 204);
    assertProblem(await ada.delete(place), 404, 'not-found');
    for (const path of ['/audit?limit=100', '/config']) {
      const { text } = await api.admin.get(path);
      for (const hidden of [secret, 'my own', 't0ken'])
        assert.equal(text.includes(hidden), false, `${path} ${hidden}`);
    }
    const logged = JSON.stringify(api.registry.logged);
    for (const hidden of [secret, 'my own', 't0ken']) assert.equal(logged.includes(hidden), false, hidden);
  });

  it('of a secret of one’s own tell none', async () => {
    const own = { url, events: ['push'], secret: 'my very own secret' };
    const made = await api.admin.post('/namespaces/acme/webhooks', own);
    assert.equal(made.status, 201);
    assert.equal('secret' in made.body, false);
    await api.admin.delete(`/namespaces/acme/webhooks/${made.body.id}`);
  });

  it('are refused with a sentence for what is wrong', async () => {
    const refused = async (body: object, pointer: string, detail: RegExp) => {
      const reply = await api.admin.post('/namespaces/acme/webhooks', { url, events: ['push'], ...body });
      assertProblem(reply, 400, 'invalid');
      const fault = reply.body.errors.find((one: { pointer: string }) => one.pointer.startsWith(pointer));
      assert.match(fault?.detail ?? '', detail, reply.text);
    };
    await refused({ url: 'ftp://example.com' }, '/url', /https:\/\/ or http:\/\//);
    await refused({ url: 'https://a:b@example.com' }, '/url', /no name and password/);
    for (const hidden of [
      'http://10.0.0.1/',
      'http://169.254.169.254/',
      'http://[::1]/',
      'http://[::ffff:10.0.0.1]/',
    ])
      await refused({ url: hidden }, '/url', /webhooks\.allowedHosts/);
    await refused({ events: [] }, '/events', /./);
    await refused({ events: ['push', 'push'] }, '/events', /./);
    await refused({ events: ['explode'] }, '/events', /./);
    await refused({ events: ['pull'] }, '/events', /audit\.recordPulls/);
    await refused({ repositories: 'other/**' }, '/repositories', /not in the namespace acme/);
    await refused({ repositories: 'acme' }, '/repositories', /acme\/\*\*/);
    await refused({ repositories: '***' }, '/repositories', /./);
    await refused({ format: 'xml' }, '/format', /./);
    await refused({ secret: 'short' }, '/secret', /16 characters/);
    await refused({ colour: 'red' }, '/colour', /./);
    assertProblem(await api.admin.get('/namespaces/nope/webhooks'), 404, 'not-found');
    assertProblem(
      await api.admin.post('/namespaces/nope/webhooks', { url, events: ['push'] }),
      404,
      'not-found',
    );
    for (const id of ['999', '0', 'x', '1e3'])
      assertProblem(await api.admin.get(`/namespaces/acme/webhooks/${id}`), 404, 'not-found');
  });

  it('are twenty in a namespace at most', async () => {
    await api.addOrganization('full');
    for (let count = 0; count < 20; count += 1)
      assert.equal(
        (await api.admin.post('/namespaces/full/webhooks', { url, events: ['push'] })).status,
        201,
      );
    const reply = await api.admin.post('/namespaces/full/webhooks', { url, events: ['push'] });
    assertProblem(reply, 409, 'conflict', /20 webhooks/);
    const first = await api.admin.get('/namespaces/full/webhooks?limit=15');
    const second = await api.admin.get(`/namespaces/full/webhooks?limit=15&cursor=${first.body.next}`);
    assert.deepEqual([first.body.items.length, second.body.items.length, second.body.next], [15, 5, null]);
  });

  it('of the whole registry are for administrators, and one of a namespace is not there in another', async () => {
    const ada = await api.signIn('ada');
    assertProblem(await ada.get('/namespaces/system/webhooks'), 404, 'not-found');
    assertProblem(await ada.post('/namespaces/system/webhooks', { url, events: ['push'] }), 404, 'not-found');
    const made = await api.admin.post('/namespaces/system/webhooks', {
      url,
      events: ['push'],
      repositories: '**',
    });
    assert.deepEqual([made.status, made.body.repositories], [201, '**']);
    assertProblem(await ada.get(`/namespaces/acme/webhooks/${made.body.id}`), 404, 'not-found');
    await api.addUser('audi', { role: 'auditor' });
    const auditor = await api.signIn('audi');
    const seen = await auditor.get(`/namespaces/system/webhooks/${made.body.id}`);
    assert.deepEqual([seen.status, seen.body.url], [200, 'https://ci.example.com/…']);
    assertProblem(await auditor.post(`/namespaces/system/webhooks/${made.body.id}/test`), 403, 'denied');
    await api.admin.delete(`/namespaces/system/webhooks/${made.body.id}`);
  });

  it('are sent what is pushed, and their deliveries are listed and sent again', async () => {
    const receiver = await startReceiver(later);
    const wanted = { url: receiver.url, events: ['push', 'delete'], format: 'distribution' };
    const { body: hook } = await api.admin.post('/namespaces/acme/webhooks', wanted);
    const place = `/namespaces/acme/webhooks/${hook.id}`;
    const tested = await api.admin.post(`${place}/test`);
    assert.equal(tested.status, 200, tested.text);
    assert.deepEqual(
      [tested.body.delivered, tested.body.status, tested.body.answer],
      [true, 200, 'answer 200'],
    );
    const { digest } = await push('acme/web');
    await push('full/web');
    await receiver.until(2);
    const sent = receiver.received[1];
    assert.equal(sent?.headers['content-type'], 'application/vnd.docker.distribution.events.v2+json');
    assert.equal(sent?.headers['user-agent'], 'berth/test');
    const [event] = sent?.json.events ?? [];
    assert.deepEqual(
      [event.action, event.target.repository, event.target.tag, event.target.digest, event.actor.name],
      ['push', 'acme/web', 'v1', digest, 'admin'],
    );
    assert.equal(event.target.url, `${api.registry.url}/v2/acme/web/manifests/${digest}`);
    const timestamp = sent?.headers['x-berth-timestamp'];
    const signed = `${sent?.headers['x-berth-delivery']}.${timestamp}.${sent?.body}`;
    const expected = createHmac('sha256', hook.secret).update(signed).digest('hex');
    assert.equal(sent?.headers['x-berth-signature-256'], `sha256=${expected}`);
    const delivery = await eventually(async () => {
      const { body } = await api.admin.get(`${place}/deliveries`);
      return body.items[0];
    });
    assert.deepEqual(
      [delivery.state, delivery.attempts, delivery.status, delivery.answer],
      ['delivered', 1, 200, 'answer 200'],
    );
    const again = await api.admin.post(`${place}/deliveries/${delivery.id}/redeliver`);
    assert.deepEqual([again.status, again.body.attempts, again.body.state], [200, 2, 'delivered']);
    assert.equal(receiver.received[2]?.headers['x-berth-delivery'], sent?.headers['x-berth-delivery']);
    assertProblem(await api.admin.post(`${place}/deliveries/999/redeliver`), 404, 'not-found');
    receiver.answer(500);
    const failed = await api.admin.post(`${place}/test`);
    assert.deepEqual([failed.body.delivered, failed.body.status], [false, 500]);
    await api.admin.delete(place);
    const gone = await api.admin.get(`${place}/deliveries`);
    assertProblem(gone, 404, 'not-found');
  });

  it('are tested one at a time, and a long test holds nobody up', async () => {
    const receiver = await startReceiver(later);
    const held = Promise.withResolvers<void>();
    receiver.answer((_one, reply) => void held.promise.then(() => reply.writeHead(200).end()));
    const { body: hook } = await api.admin.post('/namespaces/acme/webhooks', {
      url: receiver.url,
      events: ['push'],
    });
    const place = `/namespaces/acme/webhooks/${hook.id}`;
    const first = api.admin.post(`${place}/test`);
    await receiver.until(1);
    assertProblem(await api.admin.post(`${place}/test`), 409, 'conflict', /under way/);
    assert.equal((await api.admin.patch(place, { events: ['delete'] })).status, 200);
    held.resolve();
    assert.equal((await first).body.delivered, true);
    await api.admin.delete(place);
  });

  it('go with their organization', async () => {
    await api.addOrganization('gone');
    const { body: hook } = await api.admin.post('/namespaces/gone/webhooks', { url, events: ['push'] });
    await api.admin.delete('/organizations/gone');
    assertProblem(await api.admin.get(`/namespaces/gone/webhooks/${hook.id}`), 404, 'not-found');
  });

  it('may be disabled and tested while the registry is read-only, and not made', async () => {
    const { body: hook } = await api.admin.post('/namespaces/acme/webhooks', { url, events: ['push'] });
    const place = `/namespaces/acme/webhooks/${hook.id}`;
    await api.admin.put('/read-only', { readOnly: true });
    try {
      assertProblem(
        await api.admin.post('/namespaces/acme/webhooks', { url, events: ['push'] }),
        503,
        'read-only',
      );
      assertProblem(await api.admin.patch(place, { events: ['push'] }), 503, 'read-only');
      assert.equal((await api.admin.patch(place, { enabled: false })).status, 200);
    } finally {
      await api.admin.put('/read-only', { readOnly: false });
    }
  });

  it('show in metrics how deliveries went', async () => {
    const text = await (await fetch(`${api.registry.url}/metrics`)).text();
    assert.match(text, /^berth_webhook_deliveries_total\{outcome="delivered"\} [1-9]/m);
  });
});

describe('pulls', () => {
  it('are events where audit.recordPulls says so, with who pulled', async (t) => {
    const receiver = await startReceiver(t);
    const api = await startApi(t, { 'webhooks.allowedHosts': 'loopback', 'audit.recordPulls': 'true' });
    const authorization = `Bearer ${api.admin.secret}`;
    await pushImage(api.registry.url, 'acme/web', 'v1', 'x', { authorization });
    const made = await api.admin.post('/namespaces/system/webhooks', { url: receiver.url, events: ['pull'] });
    assert.equal(made.status, 201, made.text);
    for (let count = 0; count < 3; count += 1)
      await (
        await fetch(`${api.registry.url}/v2/acme/web/manifests/v1`, { headers: { authorization } })
      ).text();
    await api.registry.registry.sweep.stop();
    await receiver.until(1);
    const [event] = receiver.received[0]?.json.events ?? [];
    assert.deepEqual([event.action, event.target.tag, event.actor.name], ['pull', 'v1', 'admin']);
    const audit = await api.admin.get('/audit?action=pull');
    assert.deepEqual([audit.body.items.length, audit.body.items[0].detail.count], [1, 3]);
  });
});
