// The setup kit: files that let a client work with this registry, made out to the host by which it was asked. They hold no
// secret, so that everybody may have them.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { OciError } from '../oci/errors.ts';
import { makeSample, type SampleFacts, type SampleName } from '../samples.ts';
import { publicBaseOf } from './challenge.ts';
import { declare, type HttpContext } from './context.ts';

const clients = ['podman', 'docker', 'containerd', 'kubernetes', 'quadlet'] as const satisfies SampleName[];
type Client = (typeof clients)[number];

export function setupRoutes(app: FastifyInstance, context: HttpContext): void {
  declare(app, '/-/setup/:client', 'setup', {
    GET: [
      'none',
      (request, reply) => {
        const client = clientOf((request.params as { client: string }).client);
        return reply
          .type('text/plain; charset=utf-8')
          .header('cache-control', 'no-store')
          .header('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
          .send(fileFor(client, factsOf(context, request)));
      },
    ],
  });
}

function clientOf(name: string): Client {
  const client = clients.find((one) => one === name);
  if (client !== undefined) return client;
  const message = `there is no setup for it here; there is one for ${clients.join(', ')}`;
  throw new OciError('UNSUPPORTED', message, {}, { status: 404 });
}

function factsOf({ config }: HttpContext, request: FastifyRequest): SampleFacts {
  const base = new URL(publicBaseOf(config, request));
  return {
    registry: base.host,
    scheme: base.protocol === 'https:' ? 'https' : 'http',
    upstream: `127.0.0.1:${config.http.port}`,
    publicHost: base.hostname,
    publicPort: Number(base.port || 443),
    port: config.http.port || 5000,
    image: 'localhost/berth:latest',
  };
}

/** The file; where HTTPS makes one needless, one that changes nothing and says so where its form has room for words. */
function fileFor(client: Client, facts: SampleFacts): string {
  if (facts.scheme === 'http' || (client !== 'podman' && client !== 'docker'))
    return makeSample(client, facts);
  if (client === 'docker') return '{}\n';
  return (
    `# ${facts.registry} speaks HTTPS: podman, buildah and skopeo need no file. For a certificate of an authority of your own, put\n` +
    `# that authority's certificate into /etc/containers/certs.d/${facts.registry}/ca.crt\n`
  );
}
