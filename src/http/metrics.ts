// Prometheus metrics, with the names that docker's distribution gives them, so that existing dashboards fit.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Registry as MetricsRegistry } from 'prom-client';
import type { Authentication, Decision } from '../auth/access.ts';
import { isLoopbackAddress, isLoopbackHost } from '../auth/open-access.ts';
import type { Registry } from '../registry/registry.ts';
import type { Webhooks } from '../webhooks/webhooks.ts';
import { declare } from './context.ts';
import { replyNotFound } from './errors.ts';
import { isForwarded } from './facts.ts';
import { RequestMetrics } from './request-metrics.ts';

/** Why a request was not let on: who asks is not known well enough, or may not. */
export type RefusalReason =
  | Exclude<Authentication['outcome'], 'principal'>
  | Exclude<Decision['outcome'], 'allowed'>;

export interface Metrics {
  readonly requests: RequestMetrics;
  /** Notes that access control did not let a request go on. */
  refuse(reason: RefusalReason): void;
  /** The exposition text and its media type. */
  expose(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** Metrics of one server. Every instance has a registry of its own. */
export function createMetrics(registry: Registry, webhooks: Pick<Webhooks, 'statistics'>): Metrics {
  const prometheus = new MetricsRegistry();
  collectDefaultMetrics({ register: prometheus });
  const collectStores = storeMetrics(prometheus, registry);
  const requests = new RequestMetrics(prometheus);
  const collectHooks = hookMetrics(prometheus, webhooks);
  const refusals = new Counter({
    name: 'berth_access_refused_total',
    help: 'Requests that access control refused; invalid: wrong credentials, throttled: too many of them',
    labelNames: ['reason'] as const,
    registers: [prometheus],
  });
  return {
    requests,
    refuse: (reason) => refusals.inc({ reason }),
    expose: async () => {
      await collectStores();
      collectHooks();
      return { contentType: prometheus.contentType, text: await prometheus.metrics() };
    },
  };
}

// Returns what brings the figures up to date, once a scrape for all of them.
function storeMetrics(prometheus: MetricsRegistry, registry: Registry): () => Promise<void> {
  const registers = [prometheus];
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  // Of what only grows, the store tells how much it is by now.
  const counter = (name: string, help: string) => {
    const growing = new Counter({ name, help, registers });
    return (total: number) => {
      growing.reset();
      growing.inc(total);
    };
  };
  const repositories = gauge('berth_repositories', 'Repositories with a manifest');
  const manifests = gauge('berth_manifests', 'Manifests stored');
  const tags = gauge('berth_tags', 'Tags');
  const blobs = gauge('berth_blobs', 'Blobs stored, each once');
  const bytes = gauge('berth_blob_bytes', 'Bytes of blobs stored, each once');
  const uploads = gauge('berth_uploads_open', 'Upload sessions open');
  const commits = counter('berth_database_commits_total', 'Commits of the database');
  const changes = counter('berth_database_changes_total', 'Changes that these commits held');
  const commitSeconds = counter('berth_database_commit_seconds_total', 'Time spent in commits');
  const waiting = gauge('berth_database_changes_waiting', 'Changes waiting for a commit');
  const free = gauge('berth_disk_free_bytes', 'Free bytes under the blob store');
  const oldestCheck = gauge(
    'berth_blob_oldest_check_timestamp_seconds',
    'When the blob was read that was checked longest ago; now where there is none',
  );
  const lastDone = new Gauge({
    name: 'berth_operation_last_done_timestamp_seconds',
    help: 'When the last operation of a kind that came to its end did so',
    labelNames: ['kind'] as const,
    registers,
  });
  return async () => {
    const { care } = registry.metadata;
    for (const kind of ['gc', 'scrub', 'backup'] as const) {
      const [last] = (await care.operations.list({ kind, state: 'done', limit: 1 })).items;
      if (last?.endedAt !== undefined) lastDone.set({ kind }, last.endedAt);
    }
    const [oldest] = await care.scrub.listOldestChecked(1);
    oldestCheck.set(oldest?.verifiedAt ?? Date.now() / 1000);
    const [totals, space] = await Promise.all([
      registry.metadata.repositories.totals(),
      registry.store.space(),
    ]);
    repositories.set(totals.repositories);
    manifests.set(totals.manifests);
    tags.set(totals.tags);
    blobs.set(totals.blobs);
    bytes.set(totals.blobBytes);
    uploads.set(totals.openUploads);
    const writer = registry.metadata.writerStatistics();
    commits(writer.commits);
    changes(writer.intentions);
    commitSeconds(writer.commitSeconds);
    waiting.set(writer.queued);
    free.set(space.freeBytes);
  };
}

function hookMetrics(prometheus: MetricsRegistry, webhooks: Pick<Webhooks, 'statistics'>): () => void {
  const deliveries = new Counter({
    name: 'berth_webhook_deliveries_total',
    help: 'Attempts to deliver an event to a webhook; refused and unreachable ones are tried again, given-up was the last',
    labelNames: ['outcome'] as const,
    registers: [prometheus],
  });
  return () => {
    deliveries.reset();
    for (const [outcome, count] of Object.entries(webhooks.statistics())) deliveries.inc({ outcome }, count);
  };
}

/** /metrics on the main port, for this machine only: to anybody else it does not exist. */
export function metricsRoutes(app: FastifyInstance, metrics: Metrics): void {
  declare(app, '/metrics', 'metrics', {
    GET: [
      'none',
      async (request, reply) => {
        if (!comesFromHere(request)) replyNotFound();
        const { contentType, text } = await metrics.expose();
        return reply.header('content-type', contentType).send(text);
      },
    ],
  });
}

// Neither passed on by a proxy nor asked for by a web page under another name (DNS rebinding).
function comesFromHere({ raw }: FastifyRequest): boolean {
  if (isForwarded(raw)) return false;
  return isLoopbackAddress(raw.socket.remoteAddress ?? '') && isLoopbackHost(raw.headers.host ?? 'localhost');
}
