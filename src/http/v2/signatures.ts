// Simple signatures: the extension of OpenShift's registry that podman, skopeo and buildah speak ("X-Registry-Supports-Signatures"),
// where `signatures.simpleSigning` is on. The messages are opaque here: whoever pulls verifies them with the keys it trusts.
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Digest, parseDigest } from '../../oci/digest.ts';
import { OciError } from '../../oci/errors.ts';
import type { Signature } from '../../storage/metadata-store.ts';
import { readBody } from '../body.ts';
import { declare, type HttpContext } from '../context.ts';
import { originOf, repositoryOf } from '../guard.ts';

/** A signature is an OpenPGP message of a few hundred bytes around a JSON document of the same size. */
const longestBody = 128 * 1024;
const mostOfManifest = 100;
const namePattern = /^[0-9a-f]{32}$/;

/** Tells clients at the ping, also in its 401, that signatures are kept. To be called before the guard is registered. */
export function announceSignatures(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.url === '/v2/') reply.header('x-registry-supports-signatures', '1');
    done();
  });
}

export function signatureRoutes(app: FastifyInstance, context: HttpContext): void {
  const { metadata, writes } = context.registry;

  declare(app, '/extensions/v2/:name/signatures/:digest', 'signatures', {
    // A status other than 200 would end the pull, so a manifest that is not there has no signatures either.
    GET: [
      'pull',
      async (request, reply) => {
        const digest = digestOf(request);
        const signatures = await metadata.signatures.list(repositoryOf(request), digest);
        const body = { signatures: signatures.map((signature) => show(digest, signature)) };
        return reply.type('application/json').header('cache-control', 'no-store').send(JSON.stringify(body));
      },
    ],
    PUT: [
      'push',
      async (request, reply) => {
        writes.admitChange();
        const repository = repositoryOf(request);
        const digest = digestOf(request);
        const { jsonBodyTimeout } = context.config.limits;
        const bytes = await readBody(request.body as Readable | undefined, longestBody, jsonBodyTimeout);
        const signature = parseSignature(bytes, digest);
        await writes.admitContent();
        const origin = originOf(request);
        const outcome = await metadata.signatures.add({
          ...{ repository, digest, signature, origin },
          most: mostOfManifest,
        });
        if (outcome !== 'added') throw refusalOf(outcome, repository, digest);
        return reply.code(201).header('content-length', '0').send();
      },
    ],
  });
}

function digestOf(request: FastifyRequest): Digest {
  return parseDigest((request.params as { digest: string }).digest);
}

function show(digest: Digest, { name, content }: Signature) {
  const type = 'atomic';
  return { schemaVersion: 2, name: `${digest}@${name}`, type, content: content.toString('base64') };
}

function parseSignature(bytes: Buffer, digest: Digest): Signature {
  const parsed = parseObject(bytes);
  if (parsed.schemaVersion !== 2) throw invalid('schemaVersion has to be 2');
  if (parsed.type !== 'atomic') throw invalid('type has to be "atomic"');
  const [of, name, ...more] = typeof parsed.name === 'string' ? parsed.name.split('@') : [];
  if (of !== digest || name === undefined || more.length > 0 || !namePattern.test(name)) {
    throw invalid(`name has to be ${digest}@ and 32 hexadecimal digits`);
  }
  const { content } = parsed;
  const message = Buffer.from(typeof content === 'string' ? content : '', 'base64');
  if (message.length === 0 || message.toString('base64') !== content) {
    throw invalid('content has to be the signature in base64');
  }
  return { name, content: message };
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
  } catch (error) {
    throw invalid(`the body is not JSON: ${(error as Error).message}`);
  }
  throw invalid('the body has to be a JSON object with schemaVersion, name, type and content');
}

function invalid(what: string): OciError {
  return new OciError('SIGNATURE_INVALID', `this is no signature that could be kept: ${what}`);
}

function refusalOf(outcome: 'exists' | 'unknown' | 'too-many', repository: string, digest: Digest): OciError {
  switch (outcome) {
    case 'exists':
      return new OciError('SIGNATURE_EXISTS', 'the manifest has a signature of that name: take another one');
    case 'unknown':
      return new OciError('MANIFEST_UNKNOWN', `${repository} has no manifest ${digest}: push it first`);
    case 'too-many':
      return new OciError('DENIED', `a manifest has at most ${mostOfManifest} signatures: no more are kept`);
  }
}
