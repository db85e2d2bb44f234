// `berth webhook` and `berth events` against a real server.
import assert from 'node:assert/strict';
import { createServer, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { makeTestFolder, startCommand } from '../support/berth-command.ts';
import { pushImage } from '../support/client.ts';
import { type CommandLine, commandLine } from '../support/command-line.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { temporaryFolder } from '../support/registry.ts';
import { startBerth } from '../support/running-berth.ts';
import { eventually } from '../support/webhooks.ts';

describe('berth webhook', () => {
  const endings: (() => unknown)[] = [];
  const later = { after: (end: () => unknown) => endings.push(end) } as unknown as TestContext;
  let berth: CommandLine;
  let receiver: Receiver;
  let url: string;
  before(async () => {
    const folder = await temporaryFolder(later);
    const environment = { BERTH_WEBHOOKS_ALLOWED_HOSTS: 'external,loopback' };
    const server = await startBerth(later, { dataFolder: join(folder, 'data'), environment });
    berth = commandLine({ data: server.dataFolder, folder });
    receiver = await startReceiver(later);
    url = server.url;
  });
  after(async () => {
    for (const end of endings.reverse()) await end();
  });

  it('adds, lists, shows, changes and removes, and prints the secret once', async () => {
    const added = await berth(
      'webhook',
      'add',
      'system',
      'https://ci.example.com/hook',
      '--repositories',
      'acme/**',
    );
    assert.match(
      added,
      /^webhook 1 of system added: push, delete on acme\/\*\*, as distribution\nsecret .*:\nwhsec_\S+=\n/,
    );
    const secret = await berth('webhook', 'add', 'system', 'https://ci.example.com/other', '-q');
    assert.match(secret, /^whsec_\S+=\n$/);
    const list = await berth('webhook', 'list', 'system');
    assert.match(list, /^ID +STATE +EVENTS +REPOSITORIES +URL\n1 +enabled +push, delete +acme\/\*\* +https:/);
    assert.equal(await berth('webhook', 'ls', 'system', '-q'), '1\n2\n');
    const changed = await berth(
      'webhook',
      'set',
      'system',
      '2',
      '--disable',
      '--events',
      'push',
      '--format',
      'cloudevents',
    );
    assert.equal(changed, 'webhook 2 of system: disabled, push on **, as cloudevents\n');
    const own = await berth.withInput('a secret of my own\n')(
      'webhook',
      'set',
      'system',
      '2',
      '--secret-stdin',
      '--enable',
    );
    assert.match(own, /enabled/);
    const shown = await berth('webhook', 'show', 'system', '2');
    assert.match(shown, /^url +https:\/\/ci\.example\.com\/other$/m);
    assert.doesNotMatch(shown, /my own/);
    const asked = await berth.tries('webhook', 'remove', 'system', '2');
    assert.deepEqual([asked.code, /--yes/.test(asked.stderr)], [2, true]);
    assert.match(await berth('webhook', 'remove', 'system', '2', '--dry-run'), /would be removed/);
    assert.match(await berth('webhook', 'rm', 'system', '2', '--yes'), / removed\n$/);
    assert.equal((await berth.tries('webhook', 'show', 'system', '2')).code, 5);
    await berth('webhook', 'remove', 'system', '1', '--yes');
  });

  it('tests, lists deliveries and sends one again, and ends with 1 when it does not arrive', async () => {
    const id = JSON.parse(await berth('webhook', 'add', 'system', receiver.url, '--json')).id;
    const tested = await berth('webhook', 'test', 'system', String(id));
    assert.match(tested, /^result +delivered\nstatus +200\ntook +\d+ ms\nanswer +answer 200\n$/);
    await pushImage(url, 'acme/web', 'v1');
    await receiver.until(2);
    const listed = await eventually(async () => {
      const text = await berth('webhook', 'deliveries', 'system', String(id));
      return text.includes('delivered') && text;
    });
    assert.match(
      listed,
      /^ID +EVENT +STATE +ATTEMPTS +LAST +STATUS +ERROR\n\d+ +\d+ +delivered +1 +.* 200\n$/,
    );
    const delivery = (await berth('webhook', 'deliveries', 'system', String(id), '-q')).trim();
    assert.match(await berth('webhook', 'redeliver', 'system', String(id), delivery), /^result +delivered\n/);
    receiver.answer(500);
    const failed = await berth.tries('webhook', 'test', 'system', String(id));
    assert.deepEqual([failed.code, /answered 500/.test(failed.stdout)], [1, true]);
    receiver.answer(200);
    await berth('webhook', 'remove', 'system', String(id), '--yes');
  });

  it('refuses wrong usage before it asks anybody, and says what the registry refuses', async () => {
    for (const args of [
      'show system x',
      'add system https://x --events explode',
      'set system 1',
      'set system 1 --enable --disable',
    ]) {
      const { code, stderr } = await berth.tries('webhook', ...args.split(' '));
      assert.equal(code, 2, `${args}: ${stderr}`);
    }
    const refused = await berth.tries('webhook', 'add', 'system', 'http://169.254.169.254/');
    assert.match(refused.stderr, /webhooks\.allowedHosts/);
    assert.notEqual(refused.code, 0);
    assert.equal((await berth.tries('events', '--type', 'explode')).code, 2);
    assert.equal((await berth.tries('events', '--count', 'x')).code, 2);
    assert.equal((await berth.tries('events', '--repository', '***')).code, 2);
  });

  it('follows events, one line of JSON each, after one that was seen', async () => {
    const { id } = JSON.parse(await berth('events', '--after', '0', '--count', '1')) as { id: number };
    const { digest } = await pushImage(url, 'acme/more', 'v2');
    const lines = await berth('events', '--after', String(id), '--repository', 'acme/more', '--count', '1');
    const event = JSON.parse(lines);
    assert.deepEqual(
      [event.type, event.repository, event.tag, event.digest],
      ['push', 'acme/more', 'v2', digest],
    );
  });
});

describe('berth events', () => {
  it('goes on where it was when the registry is started again', async (t) => {
    const folder = await makeTestFolder(t);
    const dataFolder = join(folder, 'data');
    const first = await startBerth(t, { dataFolder });
    const args = ['events', '-r', first.url, '--type', 'push'];
    const following = await startCommand(t, args, { folder });
    await following.untilPrinted(/following; Ctrl-C ends it/);
    await pushImage(first.url, 'acme/web', 'v1');
    await following.untilPrinted(/"tag":"v1"/);
    await first.end('SIGTERM');
    await following.untilPrinted(/the connection ended; it is made again/);
    const second = await startBerth(t, { dataFolder, port: first.port });
    await pushImage(second.url, 'acme/web', 'v2');
    await following.untilPrinted(/"tag":"v2"/);
    await following.end();
  });

  it('goes on past what a proxy answers meanwhile, and ends where the registry refuses', async (t) => {
    const folder = await makeTestFolder(t);
    const server = await startBerth(t, { dataFolder: join(folder, 'data') });
    const proxy = await startProxy(t, server.url);
    const args = ['events', '-r', proxy.url, '--type', 'push'];
    const following = await startCommand(t, args, { folder });
    await following.untilPrinted(/following; Ctrl-C ends it/);
    await pushImage(server.url, 'acme/web', 'v1');
    await following.untilPrinted(/"tag":"v1"/);
    const before = proxy.asked.length;
    proxy.fail(502, 503, 504, 500, 'broken');
    // Nothing of what happens meanwhile is missed.
    await pushImage(server.url, 'acme/web', 'v2');
    await following.untilPrinted(/"tag":"v2"/);
    const asked = proxy.asked.slice(before);
    assert.equal(asked.length, 6);
    assert.deepEqual([...new Set(asked)].length, 1, `always after the same event: ${asked}`);
    for (const status of [502, 503, 504]) {
      await following.untilPrinted(new RegExp(`failed, with ${status} of a proxy.* made again in 1 s`));
    }
    proxy.fail(404);
    const { code, stderr } = await following.ended;
    assert.deepEqual([code, /answered 404/.test(stderr)], [1, true], stderr);
    proxy.fail(502);
    const never = await startCommand(t, args, { folder });
    assert.equal((await never.ended).code, 1, 'what never was there is not waited for');
  });
});

/** Stands before a registry, ends streams and answers the next requests for them as told; asks for no pauses at all. */
async function startProxy(t: TestContext, target: string) {
  const failures: (number | 'broken')[] = [];
  const asked: (string | undefined)[] = [];
  const open = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    const { method, headers, url = '/' } = request;
    const isStream = url.startsWith('/api/v1/events');
    if (isStream) asked.push(String(headers['last-event-id']));
    const failure = isStream ? failures.shift() : undefined;
    if (failure === 'broken') return void request.socket.destroy();
    if (failure !== undefined) {
      return void response.writeHead(failure, { 'content-type': 'text/html' }).end('<h1>oops</h1>');
    }
    if (isStream) open.add(response.on('close', () => open.delete(response)));
    const forwarded = send(new URL(url, target), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.setEncoding('utf8').on('data', (text: string) => {
        response.write(text.replace('retry: 2000', 'retry: 0'));
      });
      answer.on('end', () => response.end()).on('error', () => response.destroy());
      response.on('close', () => answer.destroy());
    });
    forwarded.on('error', () => response.destroy());
    request.pipe(forwarded);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** The Last-Event-ID of each request for a stream. */
    asked,
    fail: (...next: (number | 'broken')[]) => {
      failures.push(...next);
      for (const response of open) response.destroy();
    },
  };
}
