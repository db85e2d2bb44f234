// The samples in config/, made out to one registry: what `berth setup` prints and /-/setup/ answers is the file in the repository,
// with this registry's host, port and image in the place of the sample's. None of them holds a secret.
import { readFileSync } from 'node:fs';

export interface SampleFacts {
  /** What clients type, such as localhost:5000. */
  readonly registry: string;
  /** How they reach it. */
  readonly scheme: 'http' | 'https';
  /** Where Berth listens on its own machine, HOST:PORT, for a proxy beside it. */
  readonly upstream: string;
  /** The name clients reach a proxy by; undefined: the sample's registry.example.com stays. */
  readonly publicHost: string | undefined;
  /** The port that clients reach a proxy by. */
  readonly publicPort: number;
  /** The port that a container publishes. */
  readonly port: number;
  readonly image: string;
}

type Replacement = readonly [inSample: string, made: (facts: SampleFacts) => string];

const hostOf = ({ publicHost }: SampleFacts): string => publicHost ?? 'registry.example.com';
const portOf = ({ publicPort }: SampleFacts): string => (publicPort === 443 ? '' : `:${publicPort}`);
const published: Replacement = ['127.0.0.1:5000:5000', ({ port }) => `127.0.0.1:${port}:5000`];
const opened: Replacement = ['5000:5000', ({ port }) => `${port}:5000`];
const image: Replacement = ['localhost/berth:latest', (facts) => facts.image];

const samples = {
  podman: { file: 'podman/berth.conf', replacements: [['localhost:5000', (facts) => facts.registry]] },
  docker: { file: 'docker/daemon.json', replacements: [['localhost:5000', (facts) => facts.registry]] },
  containerd: {
    file: 'containerd/hosts.toml',
    replacements: [
      ['http://localhost:5000', (facts) => `${facts.scheme}://${facts.registry}`],
      ['localhost:5000', (facts) => facts.registry],
      ['over plain HTTP', ({ scheme }) => (scheme === 'https' ? 'over HTTPS' : 'over plain HTTP')],
    ],
  },
  kubernetes: {
    file: 'kubernetes/pull-secret.yaml',
    replacements: [['localhost:5000', (facts) => facts.registry]],
  },
  nginx: {
    file: 'nginx/berth.conf',
    replacements: [
      ['127.0.0.1:5000', (facts) => facts.upstream],
      ['443 ssl', ({ publicPort }) => `${publicPort} ssl`],
      ['https://registry.example.com', (facts) => `https://${hostOf(facts)}${portOf(facts)}`],
      ['registry.example.com', hostOf],
    ],
  },
  quadlet: {
    file: 'quadlet/berth.container',
    replacements: [
      published,
      opened,
      image,
      // Only an image that has a registry can be looked for there.
      [
        'AutoUpdate=local',
        (facts) => `AutoUpdate=${facts.image.startsWith('localhost/') ? 'local' : 'registry'}`,
      ],
    ],
  },
  compose: { file: 'compose/compose.yaml', replacements: [published, opened, image] },
  ci: { file: 'gitlab/build.yml', replacements: [['localhost:5000', (facts) => facts.registry]] },
} as const satisfies Record<string, { file: string; replacements: readonly Replacement[] }>;

export type SampleName = keyof typeof samples;
export const sampleNames = Object.keys(samples) as readonly SampleName[];

/** The text of a sample, made out to `facts`. */
export function makeSample(name: SampleName, facts: SampleFacts): string {
  const { file, replacements } = samples[name];
  const text = readFileSync(new URL(`../config/${file}`, import.meta.url), 'utf8');
  const table = new Map<string, string>(replacements.map(([inSample, made]) => [inSample, made(facts)]));
  // One pass, so that a replacement is never replaced again; longest first, so that 127.0.0.1:5000:5000 is one thing.
  const spellings = [...table.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(spellings.map((one) => one.replaceAll('.', '\\.')).join('|'), 'g');
  return text.replace(pattern, (found) => table.get(found) ?? found);
}
