// How the registry is: what runs, how much there is, the disk, and what somebody should look after.
import { type Static, Type } from 'typebox';
import { isLoopbackAddress } from '../../../auth/open-access.ts';
import type { ApiContext } from './context.ts';
import { nullable, strict } from './schemas.ts';
import { careStatus, careWarnings, readCare } from './status-care.ts';

const warning = strict({
  code: Type.Enum([
    'no-tls',
    'disk',
    'token-unused',
    'token-expires',
    'read-only',
    'open',
    'damage',
    'backup-failed',
    'backups-kept',
    'collection-stopped',
    'another-database',
    'webhook-failing',
  ]),
  detail: Type.String({ description: 'What it is about and what to do, for a person.' }),
});
export const statusSchema = strict({
  version: Type.String(),
  mode: Type.Enum(['open', 'token']),
  writes: Type.String({ description: 'accepted, or why not.' }),
  counts: strict({
    users: Type.Integer(),
    repositories: Type.Integer(),
    manifests: Type.Integer(),
    tags: Type.Integer(),
    blobs: Type.Integer(),
    openUploads: Type.Integer(),
  }),
  size: Type.Integer({ description: 'Bytes of blobs, each once.' }),
  disk: strict({
    free: Type.Integer({ description: 'Bytes.' }),
    total: Type.Integer({ description: 'Bytes.' }),
    freeInodes: nullable(Type.Integer()),
  }),
  ...careStatus,
  warnings: Type.Array(warning),
});
type Status = Static<typeof statusSchema>;
type Warning = Static<typeof warning>;

const namedHooks = 20;
/** An endpoint that is restarted is no reason to worry. */
const hookFailsSeconds = 3600;
/** So many tokens of each kind of warning are named. */
const namedTokens = 20;

export async function readStatus(context: ApiContext, now: number): Promise<Status> {
  const { metadata, store, writes } = context.registry;
  const [totals, space, state, users, care] = await Promise.all([
    metadata.repositories.totals(),
    store.space(),
    writes.state(),
    metadata.accounts.users.count(),
    readCare(context),
  ]);
  const { blobBytes, ...counts } = totals;
  return {
    version: context.version,
    mode: context.access.mode,
    writes: state,
    counts: { users, ...counts },
    size: blobBytes,
    disk: { free: space.freeBytes, total: space.totalBytes, freeInodes: space.freeInodes ?? null },
    ...care,
    warnings: [
      ...surroundings(context, state),
      ...(await careWarnings(context)),
      ...(await tokenWarnings(context, now)),
      ...(await hookWarnings(context, now)),
    ],
  };
}

function surroundings({ config, access, registry }: ApiContext, state: string): Warning[] {
  const warnings: Warning[] = [];
  const { tls, publicUrl, address, trustedProxies } = config.http;
  const isEncrypted =
    tls !== undefined || publicUrl?.startsWith('https:') === true || trustedProxies.length > 0;
  if (access.mode === 'token' && !isEncrypted && !isLoopbackAddress(address) && address !== 'localhost') {
    const detail =
      'no TLS: passwords cross the network in the clear. Set http.tls.certificate and http.tls.key, or a proxy with http.publicUrl';
    warnings.push({ code: 'no-tls', detail });
  }
  if (access.mode === 'open' && config.access.openOnNetwork) {
    warnings.push({
      code: 'open',
      detail: 'anybody who reaches this registry may push and delete (access.openOnNetwork)',
    });
  }
  const { message } = registry.writes.readOnly();
  if (message !== undefined) warnings.push({ code: 'read-only', detail: message });
  if (state === 'refused, disk') {
    warnings.push({ code: 'disk', detail: 'the disk is almost full (storage.keepFree): pushes are refused' });
  }
  return warnings;
}

async function tokenWarnings({ config, registry }: ApiContext, now: number): Promise<Warning[]> {
  const { warnUnused, warnBeforeExpiry } = config.auth.robotToken;
  const unusedSince = Number.isFinite(warnUnused) ? Math.floor(now - warnUnused) : undefined;
  const { expiring, unused } = await registry.metadata.accounts.credentials.listNotable({
    now: Math.floor(now),
    expiresBefore: Math.floor(now + warnBeforeExpiry),
    unusedSince,
    limit: namedTokens,
  });
  return [
    ...expiring.map(({ subject, label, expiresAt = now }): Warning => {
      return {
        code: 'token-expires',
        detail: `token ${label} of ${subject} ends in ${daysText(expiresAt - now)}`,
      };
    }),
    ...unused.map(({ subject, label, lastUsedAt, createdAt }): Warning => {
      const when = lastUsedAt === undefined ? 'never used' : 'not used';
      const since = daysText(now - (lastUsedAt ?? createdAt));
      return {
        code: 'token-unused',
        detail: `token ${label} of ${subject} was ${when} for ${since}: remove it if nobody needs it`,
      };
    }),
  ];
}

async function hookWarnings({ registry }: ApiContext, now: number): Promise<Warning[]> {
  const failing = await registry.metadata.webhooks.listFailing(namedHooks);
  return failing
    .filter(({ failingSince = now }) => now - failingSince >= hookFailsSeconds)
    .map(({ id, namespace, failingSince = now }): Warning => {
      const since = daysText(now - failingSince);
      const detail = `webhook ${id} of ${namespace} has failed for ${since}: berth webhook deliveries ${namespace} ${id}`;
      return { code: 'webhook-failing', detail };
    });
}

function daysText(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  if (days >= 1) return days === 1 ? '1 day' : `${days} days`;
  const hours = Math.max(1, Math.floor(seconds / 3600));
  return hours === 1 ? '1 hour' : `${hours} hours`;
}
