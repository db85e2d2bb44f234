// Referrers (OCI distribution-spec, "Listing referrers"): an index of the manifests whose subject is a digest.
import { setImmediate as immediate } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { parseDigest } from '../../oci/digest.ts';
import { mediaTypes } from '../../oci/media-types.ts';
import type { Referrer } from '../../storage/metadata-store.ts';
import { declare, type HttpContext } from '../context.ts';
import { askedNameOf, repositoryOf } from '../guard.ts';
import { linkNext } from '../pages.ts';
import { queryValue, queryValues } from '../query.ts';

/** A page ends here: containerd and oras read no more of one answer, and containerd follows no Link. */
const pageBytes = 4 * 1024 * 1024 - 1024;
const storePage = 100;

export function referrerRoutes(app: FastifyInstance, context: HttpContext): void {
  const { manifests } = context.registry.metadata;

  declare(app, '/v2/:name/referrers/:digest', 'referrers', {
    GET: [
      'pull',
      async (request, reply) => {
        const repository = repositoryOf(request);
        const subject = parseDigest((request.params as { digest: string }).digest);
        const artifactTypes = queryValues(request, 'artifactType').filter((type) => type !== '');
        const descriptors: string[] = [];
        let after = cursorOf(queryValue(request, 'after'));
        let bytes = 0;
        let more = true;
        while (more && bytes < pageBytes) {
          // Thousands of referrers are not read in one turn of the event loop: other requests get theirs in between.
          if (descriptors.length > 0) await immediate();
          const page = await manifests.listReferrers(repository, subject, {
            limit: storePage,
            artifactTypes,
            ...(after === undefined ? {} : { after }),
          });
          more = page.more;
          for (const referrer of page.items) {
            const descriptor = JSON.stringify(descriptorOf(referrer));
            bytes += Buffer.byteLength(descriptor) + 1;
            if (bytes >= pageBytes && descriptors.length > 0) {
              more = true;
              break;
            }
            descriptors.push(descriptor);
            after = referrer.cursor;
          }
        }
        if (more && after !== undefined) {
          const parameters = new URLSearchParams(
            artifactTypes.map((type): [string, string] => ['artifactType', type]),
          );
          parameters.set('after', String(after));
          linkNext(context, request, reply, `/v2/${askedNameOf(request)}/referrers/${subject}`, parameters);
        }
        if (artifactTypes.length > 0) reply.header('oci-filters-applied', 'artifactType');
        // Composed as text: Fastify would add a charset to the media type of an object.
        const body = `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[${descriptors.join(',')}]}`;
        return reply.header('content-type', mediaTypes.ociIndex).send(Buffer.from(body));
      },
    ],
  });
}

function cursorOf(text: string | undefined): number | undefined {
  const cursor = Number(text);
  return text !== undefined && Number.isSafeInteger(cursor) && cursor >= 0 ? cursor : undefined;
}

function descriptorOf({ mediaType, digest, size, artifactType, annotations }: Referrer) {
  return { mediaType, digest, size, artifactType, annotations };
}
