// What a delivery is made of: its signature, its body in both formats, and what follows from how it went.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Digest } from '../../src/oci/digest.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import { Places } from '../../src/places.ts';
import type { RegistryEvent } from '../../src/storage/metadata-store.ts';
import type { Webhook } from '../../src/storage/webhook-store.ts';
import { judge, messageOf } from '../../src/webhooks/attempts.ts';
import { longestWaitSeconds, waitSeconds } from '../../src/webhooks/back-off.ts';
import { type ContentEvent, toContentEvent } from '../../src/webhooks/content-events.ts';
import { envelopeOf } from '../../src/webhooks/envelope.ts';
import { createHookSecret, signatureHeaders } from '../../src/webhooks/signature.ts';

const digest = `sha256:${'a'.repeat(64)}` as Digest;
const event: ContentEvent = {
  seq: 42,
  at: 1_800_000_000,
  type: 'push',
  kind: 'manifest',
  repository: 'acme/web' as RepositoryName,
  tag: 'v1',
  digest,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  size: 528,
  actor: 'alice',
  count: undefined,
  address: '192.0.2.7',
  userAgent: 'podman/5.4',
  requestId: 'r-1',
};
const source = { url: 'https://registry.example.com', instance: 'i-1' };
const hook: Webhook = {
  id: 7,
  namespace: 'acme',
  url: 'https://ci.example.com/hook',
  events: ['push'],
  repositories: 'acme/**',
  format: 'distribution',
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=',
  enabled: true,
  eventSeq: 0,
  failures: 0,
  failingSince: undefined,
  pausedUntil: undefined,
  createdAt: 0,
  createdBy: 'ada',
};

describe('a signature', () => {
  const body = Buffer.from('{"x":1}');
  test('is an HMAC of id, time and body, with the whole secret as the key', () => {
    const headers = signatureHeaders('a secret of my own', { id: 'i-42', timestamp: 1_800_000_000, body });
    const hex = createHmac('sha256', 'a secret of my own').update('i-42.1800000000.{"x":1}').digest('hex');
    assert.deepEqual(headers, {
      'x-berth-delivery': 'i-42',
      'x-berth-timestamp': '1800000000',
      'x-berth-signature-256': `sha256=${hex}`,
    });
  });

  test('is also one of Standard Webhooks where the secret is of its form, as generated ones are', () => {
    for (const secret of [hook.secret, createHookSecret()]) {
      const headers = signatureHeaders(secret, { id: 'i-42', timestamp: 5, body });
      const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
      const expected = createHmac('sha256', key).update('i-42.5.{"x":1}').digest('base64');
      assert.equal(headers['webhook-signature'], `v1,${expected}`);
      assert.deepEqual([headers['webhook-id'], headers['webhook-timestamp']], ['i-42', '5']);
    }
    assert.notEqual(createHookSecret(), createHookSecret());
  });

  test('is another one for another body, time, id or secret', () => {
    const of = (secret: string, id: string, timestamp: number, text: string) =>
      signatureHeaders(secret, { id, timestamp, body: Buffer.from(text) })['x-berth-signature-256'];
    const all = [
      of('s', 'i', 1, 'b'),
      of('t', 'i', 1, 'b'),
      of('s', 'j', 1, 'b'),
      of('s', 'i', 2, 'b'),
      of('s', 'i', 1, 'c'),
    ];
    assert.equal(new Set(all).size, all.length);
  });
});

describe('a body', () => {
  const bodyOf = (format: 'distribution' | 'cloudevents', given: Partial<ContentEvent> = {}) => {
    const { contentType, body } = envelopeOf(format, 'i-1-42', { ...event, ...given }, source);
    return { contentType, json: JSON.parse(body.toString()) };
  };

  test('is the envelope of distribution', () => {
    const { contentType, json } = bodyOf('distribution');
    assert.equal(contentType, 'application/vnd.docker.distribution.events.v2+json');
    assert.deepEqual(json, {
      events: [
        {
          id: 'i-1-42',
          timestamp: '2027-01-15T08:00:00.000Z',
          action: 'push',
          target: {
            mediaType: 'application/vnd.oci.image.manifest.v1+json',
            size: 528,
            length: 528,
            digest,
            repository: 'acme/web',
            url: `https://registry.example.com/v2/acme/web/manifests/${digest}`,
            tag: 'v1',
          },
          request: {
            id: 'r-1',
            addr: '192.0.2.7',
            host: 'registry.example.com',
            method: 'PUT',
            useragent: 'podman/5.4',
          },
          actor: { name: 'alice' },
          source: { addr: 'registry.example.com', instanceID: 'i-1' },
        },
      ],
    });
    const untag = {
      type: 'delete',
      kind: 'tag',
      digest: undefined,
      mediaType: undefined,
      size: undefined,
    } as const;
    const [deleted] = bodyOf('distribution', untag).json.events;
    assert.deepEqual([deleted.action, deleted.target], ['delete', { repository: 'acme/web', tag: 'v1' }]);
  });

  test('is a CloudEvent of version 1.0', () => {
    const { contentType, json } = bodyOf('cloudevents');
    assert.equal(contentType, 'application/cloudevents+json; charset=utf-8');
    const { data, ...attributes } = json;
    assert.deepEqual(attributes, {
      specversion: '1.0',
      id: 'i-1-42',
      source: 'https://registry.example.com',
      type: 'berth.push',
      subject: 'acme/web:v1',
      time: '2027-01-15T08:00:00.000Z',
      datacontenttype: 'application/json',
    });
    assert.deepEqual([data.id, data.repository, data.tag, data.size], [42, 'acme/web', 'v1', 528]);
    assert.equal(bodyOf('cloudevents', { tag: undefined }).json.subject, `acme/web@${digest}`);
  });

  test('comes with its type, the number of the attempt and its signature', () => {
    const message = messageOf(hook, event, { id: 'i-1-42', source, now: 1_800_000_100.7, number: 3 });
    const { headers, body } = message;
    const hex = createHmac('sha256', hook.secret).update('i-1-42.1800000100.').update(body).digest('hex');
    assert.equal(headers['x-berth-signature-256'], `sha256=${hex}`);
    assert.deepEqual(
      [headers['x-berth-event'], headers['x-berth-attempt'], headers['x-berth-webhook']],
      ['push', '3', '7'],
    );
  });
});

describe('an event row', () => {
  const row = (given: Partial<RegistryEvent>): RegistryEvent => ({
    ...{
      seq: 2,
      at: 1,
      kind: 'push',
      actor: 'a',
      outcome: 'allowed',
      repository: 'acme/web',
      reference: 'v1',
      digest,
    },
    ...{
      object: undefined,
      namespace: 'acme',
      address: undefined,
      userAgent: undefined,
      requestId: undefined,
    },
    detail: undefined,
    ...given,
  });

  test('of a tag says nothing new after the push that set it, and something of its own elsewhere', () => {
    const push = row({ seq: 1 });
    const tag = row({ kind: 'tag' });
    assert.equal(toContentEvent(tag, push), undefined);
    for (const before of [
      undefined,
      row({ seq: 0 }),
      row({ seq: 1, reference: undefined }),
      row({ seq: 1, repository: 'x/y' }),
    ])
      assert.equal(toContentEvent(tag, before)?.type, 'push');
  });

  test('is told in the words of distribution, or not at all', () => {
    const told = (kind: RegistryEvent['kind']) => {
      const found = toContentEvent(row({ kind }), undefined);
      return found && `${found.type} ${found.kind}`;
    };
    assert.deepEqual((['push', 'tag', 'delete', 'untag', 'unlink', 'mount', 'pull'] as const).map(told), [
      'push manifest',
      'push tag',
      'delete manifest',
      'delete tag',
      'delete blob',
      'mount blob',
      'pull manifest',
    ]);
    assert.equal(told('user.add'), undefined);
    const gone = row({
      repository: undefined,
      reference: undefined,
      digest: undefined,
      object: 'repository:acme/web',
    });
    const removed = toContentEvent({ ...gone, kind: 'repository.remove' as never }, undefined);
    assert.deepEqual(
      [removed?.type, removed?.kind, removed?.repository],
      ['delete', 'repository', 'acme/web'],
    );
    assert.equal(toContentEvent({ ...gone, kind: 'repository.update' }, undefined), undefined);
    // One event for a repository that comes back, whatever was in it.
    const restored = toContentEvent({ ...gone, kind: 'repository.restore' }, undefined);
    assert.deepEqual(
      [restored?.type, restored?.kind, restored?.repository, restored?.digest],
      ['restore', 'repository', 'acme/web', undefined],
    );
    assert.equal(toContentEvent(row({ repository: undefined }), undefined), undefined);
  });
});

describe('after an attempt', () => {
  const about = { number: 1, mostAttempts: 12, now: 1000, random: 0.5, crowded: false };
  const result = (status: number | undefined, more: { retryAfterSeconds?: number } = {}) => ({
    ...{ status, error: status === undefined ? 'nothing listens there' : undefined, milliseconds: 5 },
    ...{ answer: undefined, retryAfterSeconds: undefined },
    ...more,
  });

  test('that arrived there is nothing left to do', () => {
    for (const status of [200, 201, 204, 299]) {
      const { attempt, outcome } = judge(hook, 42, result(status), about);
      assert.deepEqual(
        [attempt.state, attempt.nextAt, attempt.endpoint, outcome],
        ['delivered', undefined, 'reached', 'delivered'],
      );
    }
  });

  test('the hook waits where the endpoint is the reason, and the event alone where it is not', () => {
    for (const status of [undefined, 301, 302, 401, 404, 429, 502, 503]) {
      const { attempt, outcome } = judge(hook, 42, result(status), about);
      assert.deepEqual(
        [attempt.state, attempt.nextAt, attempt.endpoint],
        ['pending', 1010, { pausedUntil: 1010 }],
      );
      assert.equal(outcome, 'unreachable');
    }
    for (const status of [400, 413, 422, 500]) {
      const { attempt, outcome } = judge(hook, 42, result(status), about);
      assert.deepEqual(
        [attempt.state, attempt.nextAt, attempt.endpoint],
        ['pending', 1010, { pausedUntil: 1000 }],
      );
      assert.equal(outcome, 'refused');
      const crowded = judge(hook, 42, result(status), { ...about, crowded: true });
      assert.deepEqual(crowded.attempt.endpoint, { pausedUntil: 1010 });
    }
  });

  test('it is given up at the last, and an endpoint may ask for more time, within bounds', () => {
    const last = judge(hook, 42, result(500), { ...about, number: 12 });
    assert.deepEqual(
      [last.attempt.state, last.attempt.nextAt, last.outcome],
      ['failed', undefined, 'given-up'],
    );
    assert.equal(judge(hook, 42, result(429, { retryAfterSeconds: 120 }), about).attempt.nextAt, 1120);
    const greedy = judge(hook, 42, result(503, { retryAfterSeconds: 1e9 }), about);
    assert.equal(greedy.attempt.nextAt, 1000 + longestWaitSeconds);
    const long = judge({ ...hook, failures: 5 }, 42, result(undefined), about);
    assert.equal(long.attempt.nextAt, 1000 + waitSeconds(6, 0.5));
  });

  test('waits grow to hours, with jitter, and twelve attempts are about a day', () => {
    let total = 0;
    for (let attempt = 1; attempt < 12; attempt += 1) total += waitSeconds(attempt, 0.5);
    assert.ok(total > 20 * 3600 && total < 28 * 3600, `${total}`);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempt, random) => {
          const wait = waitSeconds(attempt, random);
          assert.ok(wait >= 8 && wait <= longestWaitSeconds * 1.2);
        },
      ),
    );
  });
});

describe('the places of deliveries', () => {
  /** Work that says when it begins, and ends when it is told. */
  function works(places: Places) {
    const began: string[] = [];
    const ends = new Map<string, () => void>();
    return {
      began,
      begin: (name: string) => {
        const [owner = ''] = name.split('/');
        return places.pass(owner, () => {
          began.push(name);
          return new Promise<void>((resolve) => ends.set(name, resolve));
        });
      },
      end: async (name: string) => {
        ends.get(name)?.();
        await new Promise((resolve) => setImmediate(resolve));
      },
    };
  }

  test('are for others, too, where one has much to send', async () => {
    const { began, begin, end } = works(new Places(4, 2));
    const all = ['a/1', 'a/2', 'a/3', 'a/4', 'b/1', 'c/1', 'd/1', 'b/2'].map(begin);
    assert.deepEqual(began, ['a/1', 'a/2', 'b/1', 'c/1']);
    // The place of one goes to who has none, before who came earlier and has some.
    await end('b/1');
    assert.deepEqual(began.slice(4), ['d/1']);
    await end('c/1');
    assert.deepEqual(began.slice(5), ['b/2']);
    // One that nobody else wants stays empty while its owner has as many as are allowed.
    await end('d/1');
    await end('b/2');
    assert.deepEqual(began.slice(6), []);
    await end('a/1');
    assert.deepEqual(began.slice(6), ['a/3']);
    for (const name of ['a/2', 'a/3', 'a/4']) await end(name);
    await Promise.all(all);
  });

  test('are given back by what fails, and none is lost or given twice', async () => {
    const places = new Places(5, 2);
    let [inside, most, done] = [0, 0, 0];
    const ofOwner = new Map<number, number>();
    const settled = await Promise.allSettled(
      Array.from({ length: 300 }, (_, index) =>
        places.pass(String(index % 7), async () => {
          const owner = index % 7;
          inside += 1;
          most = Math.max(most, inside);
          ofOwner.set(owner, (ofOwner.get(owner) ?? 0) + 1);
          assert.ok((ofOwner.get(owner) ?? 0) <= 2);
          for (let turn = 0; turn < index % 5; turn += 1)
            await new Promise((resolve) => setImmediate(resolve));
          inside -= 1;
          done += 1;
          ofOwner.set(owner, (ofOwner.get(owner) ?? 0) - 1);
          if (index % 3 === 0) throw new Error('refused');
        }),
      ),
    );
    assert.deepEqual([done, most, inside], [300, 5, 0]);
    assert.equal(settled.filter(({ status }) => status === 'rejected').length, 100);
  });
});
