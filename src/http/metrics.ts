// Prometheus metrics, with the names that docker's distribution gives them, so that existing dashboards fit.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry as MetricsRegistry } from 'prom-client';
import { isLoopbackAddress, isLoopbackHost } from '../auth/open-access.ts';
import type { Registry } from '../registry/registry.ts';
import { declare } from './context.ts';
import { replyNotFound } from './errors.ts';

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];
const sizes = [256, 1024, 4096, 16384, 65536, 1 << 20, 1 << 24, 1 << 28, 2 ** 32];

export interface Metrics {
  /** Notes a request that begins. */
  begin(): void;
  /** Notes a request that is over. */
  end(request: FastifyRequest, reply: FastifyReply, durationSeconds: number, responseBytes: number): void;
  /** The exposition text and its media type. */
  expose(): Promise<{ readonly contentType: string; readonly text: string }>;
}

interface Series {
  readonly requests: { inc(): void };
  readonly duration: { observe(value: number): void };
  readonly requestBytes: { observe(value: number): void };
  readonly responseBytes: { observe(value: number): void };
}

/** Metrics of one server. Every instance has a registry of its own. */
export function createMetrics(registry: Registry): Metrics {
  const prometheus = new MetricsRegistry();
  collectDefaultMetrics({ register: prometheus });
  const collectStores = storeMetrics(prometheus, registry);
  const http = httpMetrics(prometheus);
  // Looking labels up by hash at each request would cost more than the request; each combination is bound once.
  const bound = new Map<string, Series>();
  return {
    begin: () => http.inFlight.inc(),
    end: (request, reply, durationSeconds, responseBytes) => {
      http.inFlight.dec();
      const handler = request.routeOptions.config.handler ?? 'other';
      const key = `${handler} ${request.method} ${reply.statusCode}`;
      let series = bound.get(key);
      if (series === undefined) {
        series = http.bind(handler, request.method, reply.statusCode);
        bound.set(key, series);
      }
      series.requests.inc();
      series.duration.observe(durationSeconds);
      series.requestBytes.observe(Number(request.headers['content-length'] ?? 0));
      series.responseBytes.observe(responseBytes);
    },
    expose: async () => {
      await collectStores();
      return { contentType: prometheus.contentType, text: await prometheus.metrics() };
    },
  };
}

function httpMetrics(prometheus: MetricsRegistry) {
  const registers = [prometheus];
  const inFlight = new Gauge({
    name: 'registry_http_in_flight_requests',
    help: 'Requests being served',
    registers,
  });
  const requests = new Counter({
    name: 'registry_http_requests_total',
    help: 'Requests served',
    labelNames: ['handler', 'method', 'code'] as const,
    registers,
  });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, buckets, labelNames: ['handler', 'method'] as const, registers });
  const duration = histogram(
    'registry_http_request_duration_seconds',
    'Time from headers to the last byte',
    seconds,
  );
  const requestBytes = histogram(
    'registry_http_request_size_bytes',
    'Size of request bodies by Content-Length',
    sizes,
  );
  const responseBytes = histogram('registry_http_response_size_bytes', 'Bytes sent', sizes);
  const bind = (handler: string, method: string, code: number): Series => ({
    requests: requests.labels(handler, method.toLowerCase(), String(code)),
    duration: duration.labels(handler, method.toLowerCase()),
    requestBytes: requestBytes.labels(handler, method.toLowerCase()),
    responseBytes: responseBytes.labels(handler, method.toLowerCase()),
  });
  return { inFlight, bind };
}

// Returns what brings the figures up to date, once a scrape for all of them.
function storeMetrics(prometheus: MetricsRegistry, registry: Registry): () => Promise<void> {
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [prometheus] });
  const repositories = gauge('berth_repositories', 'Repositories with a manifest');
  const manifests = gauge('berth_manifests', 'Manifests stored');
  const tags = gauge('berth_tags', 'Tags');
  const blobs = gauge('berth_blobs', 'Blobs stored, each once');
  const bytes = gauge('berth_blob_bytes', 'Bytes of blobs stored, each once');
  const uploads = gauge('berth_uploads_open', 'Upload sessions open');
  const commits = gauge('berth_database_commits', 'Commits of the database since the start');
  const intentions = gauge('berth_database_intentions', 'Changes asked of the database since the start');
  const commitSeconds = gauge('berth_database_commit_seconds', 'Time spent in commits since the start');
  const queued = gauge('berth_database_queued', 'Changes waiting for a commit');
  const free = gauge('berth_disk_free_bytes', 'Free bytes under the blob store');
  return async () => {
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
    commits.set(writer.commits);
    intentions.set(writer.intentions);
    commitSeconds.set(writer.commitSeconds);
    queued.set(writer.queued);
    free.set(space.freeBytes);
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
  const { host, forwarded, via, 'x-forwarded-for': forwardedFor } = raw.headers;
  if (forwarded !== undefined || via !== undefined || forwardedFor !== undefined) return false;
  return isLoopbackAddress(raw.socket.remoteAddress ?? '') && isLoopbackHost(host ?? 'localhost');
}
