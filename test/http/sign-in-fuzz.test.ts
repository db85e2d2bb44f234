// No input makes an answer of 500 and more, or a challenge of another form: generated credentials, scopes, forms and hosts.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { basic, password, startSignInRegistry } from '../support/sign-in.ts';

interface Reply {
  readonly status: number;
  readonly challenge: string | undefined;
}

interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
}

const headerText = fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,60}$/);
const base64 = fc.oneof(
  fc.uint8Array({ maxLength: 90 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  fc
    .tuple(fc.string({ maxLength: 20 }), fc.string({ maxLength: 90 }))
    .map(([name, secret]) => Buffer.from(`${name}:${secret}`).toString('base64')),
);
const jwtPart = fc.oneof(
  fc.json({ maxDepth: 3 }).map((text) => Buffer.from(text).toString('base64url')),
  fc
    .record({ alg: fc.constantFrom('none', 'HS256', 'ES256', ''), kid: fc.string(), jwk: fc.anything() })
    .map((header) => Buffer.from(JSON.stringify(header)).toString('base64url')),
  fc.string({ maxLength: 30 }),
);
const jwt = fc.tuple(jwtPart, jwtPart, jwtPart).map((parts) => parts.join('.'));
const authorization = fc.oneof(
  headerText,
  base64.map((text) => `Basic ${text}`),
  jwt.map((text) => `Bearer ${text.replaceAll(/[^\t\x20-\x7e]/g, '')}`),
  fc
    .stringMatching(/^berth_(?:pat|robot|refresh|session|code)_[A-Za-z0-9]{0,60}$/)
    .map((text) => `Bearer ${text}`),
);
const scope = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.stringMatching(/^(?:repository|registry|other)(?:\([a-z]*\))?:[a-z0-9/:._-]{0,40}:[a-z,*]{0,20}$/),
);

describe('whatever a client sends', () => {
  it('is answered below 500, and a 401 has one challenge', async (t) => {
    const { port } = await startSignInRegistry(t, { 'auth.throttle.failuresPerAddress': 'unlimited' });
    const send = ({ method = 'GET', path, headers = {}, body }: Sent) =>
      new Promise<Reply>((resolve, reject) => {
        const options = { host: '127.0.0.1', port, method, path, headers };
        const sent = request(options, (reply) => {
          const challenge = reply.headers['www-authenticate'];
          reply.resume().on('end', () => resolve({ status: reply.statusCode ?? 0, challenge }));
        });
        sent.on('error', reject).end(body);
      });
    const holds = async (input: Sent) => {
      const { status, challenge } = await send(input);
      assert.ok(status >= 200 && status < 500, `${status} for ${JSON.stringify(input)}`);
      if (status === 401)
        assert.match(challenge ?? '', /^(?:Bearer realm="[^"]*"(?:,\w+="[^"]*")*|Basic realm="berth")$/);
    };
    const runs = { numRuns: 150 };

    const paths = fc.constantFrom(
      '/v2/',
      '/v2/acme/web/manifests/v1',
      '/v2/_catalog',
      '/token',
      '/v1/search?q=x',
    );
    await fc.assert(
      fc.asyncProperty(paths, authorization, headerText, (path, given, host) =>
        holds({ path, headers: { authorization: given, ...(host.trim() === '' ? {} : { host }) } }),
      ),
      runs,
    );
    await fc.assert(
      fc.asyncProperty(fc.array(scope, { maxLength: 40 }), fc.boolean(), (scopes, signedIn) => {
        const query = scopes.map((one) => `scope=${encodeURIComponent(one.toWellFormed())}`).join('&');
        return holds({ path: `/token?${query}`, headers: signedIn ? { ...basic('admin') } : {} });
      }),
      runs,
    );
    const field = fc.tuple(
      fc.constantFrom(
        'grant_type',
        'username',
        'password',
        'refresh_token',
        'scope',
        'access_type',
        'client_id',
      ),
      fc.oneof(fc.constantFrom('password', 'refresh_token', 'admin', password, 'offline', ''), fc.string()),
    );
    const form = fc.oneof(
      fc
        .array(field, { maxLength: 10 })
        .map((fields) =>
          Buffer.from(
            String(
              new URLSearchParams(
                fields.map(([name, value]): [string, string] => [name, value.toWellFormed()]),
              ),
            ),
          ),
        ),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    );
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    await fc.assert(
      fc.asyncProperty(form, (body) => holds({ method: 'POST', path: '/token', headers, body })),
      runs,
    );
  });
});
