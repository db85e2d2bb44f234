// Sending to real receivers on loopback: what is connected to, which redirects are followed, how much is read and waited for.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { hostRules } from '../../src/webhooks/allowed-hosts.ts';
import { type Address, type Lookup, Sender, type SenderOptions } from '../../src/webhooks/sender.ts';
import { makeFolder } from '../support/cleanup.ts';
import { skipWithout } from '../support/programs.ts';
import { startReceiver } from '../support/receiver.ts';

const loopback = hostRules(['loopback']);
const senderOf = (options: Partial<SenderOptions> = {}): Sender =>
  new Sender({ rules: loopback, timeoutSeconds: 10, userAgent: 'berth/test', ...options });
const message = {
  headers: { 'content-type': 'application/json', 'x-berth-event': 'push' },
  body: Buffer.from('{"a":1}'),
};

/** Names as the test says, one answer after the other; the last one stays. */
function names(...answers: readonly (readonly string[])[]): {
  readonly lookup: Lookup;
  readonly asked: string[];
} {
  const asked: string[] = [];
  const lookup: Lookup = async (host) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)] ?? [];
    asked.push(host);
    return answer.map((address): Address => ({ address, family: address.includes(':') ? 6 : 4 }));
  };
  return { lookup, asked };
}

describe('sending', () => {
  test('is a POST with its headers, and tells what was answered', async (t) => {
    const receiver = await startReceiver(t);
    const result = await senderOf().post(`${receiver.url}?token=1`, message);
    assert.deepEqual([result.status, result.error, result.answer], [200, undefined, 'answer 200']);
    const [one] = receiver.received;
    assert.deepEqual([one?.path, one?.body], ['/hook?token=1', '{"a":1}']);
    assert.equal(one?.headers['user-agent'], 'berth/test');
    assert.equal(one?.headers['content-length'], '7');
    assert.equal(one?.headers.host, `127.0.0.1:${receiver.port}`);
    receiver.answer(503);
    assert.equal((await senderOf().post(receiver.url, message)).status, 503);
  });

  test('goes nowhere that is not allowed, by address or by name', async (t) => {
    const receiver = await startReceiver(t);
    const strict = senderOf({ rules: hostRules(['external']) });
    assert.match((await strict.post(receiver.url, message)).error ?? '', /webhooks\.allowedHosts/);
    for (const address of [
      '127.0.0.1',
      '::ffff:127.0.0.1',
      '10.0.0.1',
      '169.254.169.254',
      'fd00::1',
      '::1',
      '100.64.0.1',
    ]) {
      const { lookup } = names([address]);
      const sender = senderOf({ rules: hostRules(['external']), lookup });
      const { error = '', status } = await sender.post(`http://hooks.example.com:${receiver.port}/`, message);
      assert.match(error, /hooks\.example\.com leads to a \w+ address.*webhooks\.allowedHosts/, address);
      assert.equal(error.includes(address), false, 'the address itself is not told');
      assert.equal(status, undefined);
    }
    assert.equal(receiver.received.length, 0);
  });

  test('looks a name up once and connects to exactly what was judged: rebinding leads nowhere', async (t) => {
    const receiver = await startReceiver(t);
    const { lookup, asked } = names(['127.0.0.1'], ['10.9.9.9']);
    const sender = senderOf({ lookup });
    assert.equal((await sender.post(`http://rebind.example.com:${receiver.port}/`, message)).status, 200);
    assert.deepEqual(asked, ['rebind.example.com']);
    assert.equal(receiver.received[0]?.headers.host, `rebind.example.com:${receiver.port}`);
    const second = await sender.post(`http://rebind.example.com:${receiver.port}/`, message);
    assert.match(second.error ?? '', /leads to a private address/);
    assert.equal(receiver.received.length, 1);
  });

  test('takes of several addresses those that are allowed', async (t) => {
    const receiver = await startReceiver(t);
    const { lookup } = names(['10.9.9.9', '127.0.0.1', 'fd00::1']);
    const sender = senderOf({ lookup });
    assert.equal((await sender.post(`http://many.example.com:${receiver.port}/`, message)).status, 200);
  });

  test('says why there was no answer', async (t) => {
    const receiver = await startReceiver(t);
    await receiver.close();
    assert.equal((await senderOf().post(receiver.url, message)).error, 'nothing listens there');
    const unknown: Lookup = async () => {
      throw Object.assign(new Error('x'), { code: 'ENOTFOUND' });
    };
    const { error } = await senderOf({ lookup: unknown }).post('http://no.example.com/', message);
    assert.equal(error, 'there is no such host');
    const never: Lookup = () => new Promise(() => undefined);
    const slow = await senderOf({ lookup: never, timeoutSeconds: 0.05 }).post(
      'http://slow.example.com/',
      message,
    );
    assert.equal(slow.error, 'no answer within 0.05 s');
  });
});

describe('a redirect', () => {
  test('is followed with method and body where it is 307 or 308, and is an answer elsewhere', async (t) => {
    const target = await startReceiver(t);
    const receiver = await startReceiver(t);
    for (const status of [307, 308]) {
      receiver.answer((_one, reply) =>
        reply.writeHead(status, { location: `${target.url}/${status}` }).end(),
      );
      assert.equal((await senderOf().post(receiver.url, message)).status, 200);
      assert.equal(target.received.at(-1)?.path, `/hook/${status}`);
      assert.equal(target.received.at(-1)?.body, '{"a":1}');
    }
    for (const status of [301, 302, 303, 304]) {
      receiver.answer((_one, reply) => reply.writeHead(status, { location: target.url }).end());
      assert.equal((await senderOf().post(receiver.url, message)).status, status);
    }
    assert.equal(target.received.length, 2);
  });

  test('is held to the same rules: no other address, no other scheme, no password, not for ever', async (t) => {
    const receiver = await startReceiver(t);
    const { lookup } = names(['127.0.0.1']);
    const leads = async (location: string) => {
      receiver.answer((_one, reply) => reply.writeHead(307, { location }).end());
      return (
        (await senderOf({ lookup }).post(`http://ok.example.com:${receiver.port}/`, message)).error ?? ''
      );
    };
    for (const location of [
      'http://169.254.169.254/latest/',
      'http://10.0.0.1/',
      'http://[fd00::1]/',
      'http://0xa000001/',
    ])
      assert.match(await leads(location), /webhooks\.allowedHosts/, location);
    assert.match(await leads('file:///etc/passwd'), /https:\/\/ or http:\/\//);
    assert.match(await leads('http://a:b@127.0.0.1/'), /no name and password/);
    assert.match(await leads('http://['), /no URL/);
    const before = receiver.received.length;
    assert.match(await leads('/again'), /redirects more than 3 times/);
    assert.equal(receiver.received.length - before, 4);
  });

  test('to a name is judged by what that name leads to', async (t) => {
    const receiver = await startReceiver(t);
    receiver.answer((_one, reply) => reply.writeHead(307, { location: 'http://inside.example.com/' }).end());
    const { lookup, asked } = names(['127.0.0.1'], ['192.168.1.10']);
    const { error = '' } = await senderOf({ lookup }).post(
      `http://out.example.com:${receiver.port}/`,
      message,
    );
    assert.match(error, /inside\.example\.com leads to a private address/);
    assert.deepEqual(asked, ['out.example.com', 'inside.example.com']);
  });
});

describe('an answer', () => {
  test('is read to 64 KiB and shown to 1 KiB, and the connection ends', async (t) => {
    const receiver = await startReceiver(t);
    let written = 0;
    const closed = Promise.withResolvers<void>();
    receiver.answer((_one, reply) => {
      reply.writeHead(200);
      const part = 'ä'.repeat(8192);
      const write = (): void => {
        while (!reply.destroyed) {
          written += part.length * 2;
          if (!reply.write(part)) return void reply.once('drain', write);
        }
      };
      reply.once('close', closed.resolve).on('error', () => undefined);
      write();
    });
    const { status, answer = '' } = await senderOf().post(receiver.url, message);
    assert.equal(status, 200);
    assert.equal(answer, 'ä'.repeat(512));
    await closed.promise;
    assert.ok(written < 64 * 1024 * 1024, `${written} bytes were taken`);
  });

  test('that comes too slowly counts by its status, and one without a status is none', async (t) => {
    const receiver = await startReceiver(t);
    receiver.answer((_one, reply) => void reply.writeHead(202).write('begun'));
    const begun = await senderOf({ timeoutSeconds: 0.2 }).post(receiver.url, message);
    assert.deepEqual([begun.status, begun.answer, begun.error], [202, 'begun', undefined]);
    receiver.answer(() => undefined);
    const silent = await senderOf({ timeoutSeconds: 0.2 }).post(receiver.url, message);
    assert.deepEqual([silent.status, silent.error], [undefined, 'no answer within 0.2 s']);
  });

  test('may ask for more time', async (t) => {
    const receiver = await startReceiver(t);
    receiver.answer((_one, reply) => void reply.writeHead(429, { 'retry-after': '77' }).end());
    assert.equal((await senderOf().post(receiver.url, message)).retryAfterSeconds, 77);
  });

  test('is broken off with the server', async (t) => {
    const receiver = await startReceiver(t);
    receiver.answer(() => undefined);
    const stop = new AbortController();
    const sending = senderOf().post(receiver.url, message, stop.signal);
    await receiver.until(1);
    stop.abort();
    assert.match((await sending).error ?? '', /the server is stopping/);
  });
});

describe('an answer that leaves HTTP', () => {
  test('is none, and nobody waits for it for ever', async (t) => {
    const receiver = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
      );
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    t.after(() => receiver.close());
    const { port } = receiver.address() as AddressInfo;
    const { status, error } = await senderOf().post(`http://127.0.0.1:${port}/`, message);
    assert.equal(status, undefined);
    assert.match(error ?? '', /answered 101/);
  });
});

describe('TLS', { skip: skipWithout('openssl') }, () => {
  test('is checked: the authority, and the name', async (t) => {
    const folder = await makeFolder(t, 'hook-tls');
    const [key, certificate] = [join(folder, 'k.pem'), join(folder, 'c.pem')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
    const subject = ['-subj', '/CN=hooks.example.com', '-addext', 'subjectAltName=DNS:hooks.example.com'];
    execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', certificate], {
      stdio: 'ignore',
    });
    const cert = readFileSync(certificate, 'utf8');
    const receiver = await startReceiver(t, { tls: { cert, key: readFileSync(key, 'utf8') } });
    const { lookup } = names(['127.0.0.1']);
    const url = (host: string) => `https://${host}:${receiver.port}/hook`;
    const trusting = senderOf({ lookup, authorities: [cert] });
    assert.equal((await trusting.post(url('hooks.example.com'), message)).status, 200);
    const other = await trusting.post(url('other.example.com'), message);
    assert.equal(other.error, 'its certificate is for another name');
    const strict = await senderOf({ lookup }).post(url('hooks.example.com'), message);
    assert.equal(strict.error, 'its certificate comes from no authority that is trusted here');
    assert.equal(receiver.received.length, 1);
    const plain = await startReceiver(t);
    const wrong = await trusting.post(`https://hooks.example.com:${plain.port}/`, message);
    assert.equal(wrong.error, 'it does not speak TLS');
    const leaking = await startReceiver(t, { tls: { cert, key: readFileSync(key, 'utf8') } });
    leaking.answer((_one, reply) => reply.writeHead(307, { location: plain.url }).end());
    const down = await trusting.post(`https://hooks.example.com:${leaking.port}/`, message);
    assert.match(down.error ?? '', /from https to http/);
  });
});
