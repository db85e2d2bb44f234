// Metrics of requests, counted in plain numbers and made into samples when somebody scrapes: prom-client's own counters check and
// hash their labels at each observation, which would be a tenth of what a pull costs.
import { Counter, Gauge, type Registry as MetricsRegistry, type MetricValueWithName } from 'prom-client';

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];
const sizes = [256, 1024, 4096, 16384, 65536, 1 << 20, 1 << 24, 1 << 28, 2 ** 32];

/** What is known of a request that is over. */
export interface ServedRequest {
  readonly status: number;
  readonly durationSeconds: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** How often observed values lay within each of rising bounds. */
class Distribution {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #count = 0;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] as number)) at += 1;
    if (at < bounds.length) this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#count += 1;
    this.#sum += value;
  }

  samples(name: string, labels: Record<string, string>): MetricValueWithName<string>[] {
    let within = 0;
    const buckets = this.#bounds.map((bound, at) => {
      within += this.#counts[at] as number;
      return { metricName: `${name}_bucket`, labels: { le: bound, ...labels }, value: within };
    });
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: this.#count },
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: this.#count },
    ];
  }
}

/** The requests of one method of one handler. */
export class EndpointMetrics {
  readonly labels: { readonly handler: string; readonly method: string };
  readonly codes = new Map<number, number>();
  readonly duration = new Distribution(seconds);
  readonly requestBytes = new Distribution(sizes);
  readonly responseBytes = new Distribution(sizes);
  inFlight = 0;

  constructor(handler: string, method: string) {
    this.labels = { handler, method: method.toLowerCase() };
  }

  begin(): void {
    this.inFlight += 1;
  }

  end({ status, durationSeconds, requestBytes, responseBytes }: ServedRequest): void {
    this.inFlight -= 1;
    this.codes.set(status, (this.codes.get(status) ?? 0) + 1);
    this.duration.observe(durationSeconds);
    this.requestBytes.observe(requestBytes);
    this.responseBytes.observe(responseBytes);
  }
}

/** The metrics of all requests, with distribution's names. */
export class RequestMetrics {
  readonly #endpoints = new Map<string, Map<string, EndpointMetrics>>();

  /** Registers the metrics with `prometheus`. */
  constructor(prometheus: MetricsRegistry) {
    const registers = [prometheus];
    const all = () => [...this.#endpoints.values()].flatMap((ofHandler) => [...ofHandler.values()]);
    new Gauge({
      name: 'registry_http_in_flight_requests',
      help: 'Requests being served',
      labelNames: ['handler'] as const,
      registers,
      collect() {
        this.reset();
        for (const { labels, inFlight } of all()) this.inc({ handler: labels.handler }, inFlight);
      },
    });
    new Counter({
      name: 'registry_http_requests_total',
      help: 'Requests served',
      labelNames: ['handler', 'method', 'code'] as const,
      registers,
      collect() {
        this.reset();
        for (const { labels, codes } of all())
          for (const [code, count] of codes) this.inc({ ...labels, code: String(code) }, count);
      },
    });
    const histogram = (name: string, help: string, of: (endpoint: EndpointMetrics) => Distribution) => {
      const get = async () => ({
        ...{ name, help, type: 'histogram', aggregator: 'sum' },
        values: all()
          .filter(({ codes }) => codes.size > 0)
          .flatMap((endpoint) => of(endpoint).samples(name, endpoint.labels)),
      });
      // Of a metric the registry asks no more than its name and its samples.
      prometheus.registerMetric({ name, get } as never);
    };
    histogram(
      'registry_http_request_duration_seconds',
      'Time from headers to the last byte',
      ({ duration }) => duration,
    );
    histogram(
      'registry_http_request_size_bytes',
      'Size of request bodies by Content-Length',
      ({ requestBytes }) => requestBytes,
    );
    histogram('registry_http_response_size_bytes', 'Bytes sent', ({ responseBytes }) => responseBytes);
  }

  /** Where the requests of one method of one handler are counted. */
  of(handler: string, method: string): EndpointMetrics {
    let ofHandler = this.#endpoints.get(handler);
    if (ofHandler === undefined) {
      ofHandler = new Map();
      this.#endpoints.set(handler, ofHandler);
    }
    let endpoint = ofHandler.get(method);
    if (endpoint === undefined) {
      endpoint = new EndpointMetrics(handler, method);
      ofHandler.set(method, endpoint);
    }
    return endpoint;
  }
}
