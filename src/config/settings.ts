// Every setting: its place in the file, its kind, its default as one would write it, and what it does. Validation, the
// environment, the JSON Schema and `berth config show` are all read from this one tree; config/berth.yaml is compared with it.
import {
  addressBlock,
  bindAddress,
  duration,
  flag,
  type Kind,
  listOf,
  oneOf,
  path,
  publicUrl,
  rate,
  room,
  share,
  size,
  socketAddress,
  type Written,
  wholeNumber,
} from './kinds.ts';

export interface Setting<V> {
  readonly kind: Kind<NonNullable<V>>;
  /** The default in its written form; undefined: empty unless set. */
  readonly fallback: Written | undefined;
  /** What it does, one sentence for editors. */
  readonly about: string;
  /** Taken over by a running server on SIGHUP. */
  readonly reload: boolean;
  /** Also read from the file that BERTH_…_FILE names, and never shown. */
  readonly secret: boolean;
}

export interface Section {
  readonly [name: string]: Section | Setting<unknown>;
}

/** The values of a tree of settings, in the same shape. */
export type ValuesOf<T> = T extends Setting<infer V> ? V : { readonly [Name in keyof T]: ValuesOf<T[Name]> };

interface Traits {
  readonly reload?: boolean;
  readonly secret?: boolean;
}

/** A setting with a default. */
export function setting<V>(kind: Kind<V>, fallback: Written, about: string, traits: Traits = {}): Setting<V> {
  return { kind: kind as Kind<NonNullable<V>>, fallback, about, reload: false, secret: false, ...traits };
}

/** A setting that is empty unless somebody sets it. */
export function optional<V>(kind: Kind<V>, about: string, traits: Traits = {}): Setting<V | undefined> {
  return {
    kind: kind as Kind<NonNullable<V>>,
    fallback: undefined,
    about,
    reload: false,
    secret: false,
    ...traits,
  };
}

const reload = { reload: true };
/** For what is waited for by a timer. */
const wait = duration({ longestDays: 24 });
const many = wholeNumber(1, 10_000_000);

export const settings = {
  data: setting(path, './data', 'The one folder: blobs and database. May be moved while Berth is stopped.'),
  http: {
    address: setting(bindAddress, '127.0.0.1', 'The address to listen on.'),
    port: setting(wholeNumber(0, 65_535), 5000, 'The port to listen on; 0 lets the system pick one.'),
    publicUrl: optional(publicUrl, 'What clients type; empty: taken from the request.'),
    trustedProxies: setting(listOf(addressBlock), [], 'Addresses whose X-Forwarded-* headers are believed.'),
    relativeUrls: setting(flag, true, 'Location and Link as paths instead of whole URLs.'),
    tls: {
      certificate: optional(path, 'PEM file with the certificate, leaf first, then the chain.', reload),
      key: optional(path, 'PEM file with the private key.', reload),
      minimumVersion: setting(oneOf('1.2', '1.3'), '1.2', 'The oldest TLS version that is spoken.'),
    },
  },
  access: {
    mode: setting(
      oneOf('auto', 'open', 'token'),
      'auto',
      'open: no sign-in; token: sign-in; auto: open on loopback only.',
    ),
    openOnNetwork: setting(
      flag,
      false,
      'Lets an open registry answer other machines too: anybody may then push and delete.',
    ),
  },
  storage: {
    delete: setting(flag, true, 'false: every DELETE of content answers 405.'),
    readOnly: setting(flag, false, 'true: pulls go on, every change answers 503.', reload),
    keepFree: setting(room, '5% up to 2GiB', 'Uploads are refused (507) when less of the disk is free.'),
    keepFreeInodes: setting(share, '1%', 'Uploads are refused (507) when fewer inodes are free.'),
    ballast: setting(
      size(),
      '64MiB',
      'A file given up on a full disk, so that deletes and the collector have room to work.',
    ),
    blobSizeLimit: setting(size({ unlimited: true }), '100GiB', 'The largest blob that may be pushed.'),
    manifestSizeLimit: setting(size(), '4MiB', 'The largest manifest that may be pushed.'),
    sparseManifests: setting(
      oneOf('none', 'index', 'all'),
      'none',
      'Which references may be absent when a manifest arrives.',
    ),
    upload: {
      idleExpiry: setting(duration(), '24h', 'An upload nobody has touched for so long ends.'),
      longest: setting(duration(), '7d', 'An upload ends after so long in any case.'),
      perRepository: setting(many, 1000, 'Open uploads in one repository.'),
      perPrincipal: setting(many, 2000, 'Open uploads of one user or robot.'),
      total: setting(many, 10_000, 'Open uploads in all.'),
    },
  },
  repositories: {
    undeleteFor: setting(
      duration({ never: true }),
      '14d',
      'How long deleted manifests are kept before their bytes are freed.',
    ),
  },
  collector: {
    lease: setting(duration(), '24h', 'What a client was told exists is kept at least half of this.'),
  },
  limits: {
    connections: setting(wholeNumber(1, 1_000_000), 2000, 'Connections at the same time.'),
    headerSize: setting(size(), '16KiB', 'All headers of a request together.'),
    headersTimeout: setting(wait, '15s', 'The time a client has to send its headers.'),
    jsonBody: setting(size(), '256KiB', 'A JSON body that is not a manifest.'),
    jsonBodyTimeout: setting(wait, '30s', 'The time a client has to send a JSON body.'),
    idleTimeout: setting(wait, '120s', 'A connection on which nothing moves for so long is closed.'),
    keepAlive: setting(wait, '75s', 'A connection waits so long for its next request.'),
    slowestTransfer: setting(rate, '1KiB/s', 'A transfer slower than this, averaged over 120 s, is ended.'),
    listWithoutN: setting(
      wholeNumber(1, 1_000_000),
      10_000,
      'Entries of a tag list or catalog asked for without ?n=.',
    ),
    shutdown: setting(wait, '60s', 'The time that requests in flight have to finish after SIGTERM.'),
  },
  metrics: {
    address: optional(
      socketAddress,
      'A listener of its own for /metrics; empty: the main port, for loopback only.',
    ),
  },
  log: {
    level: setting(
      oneOf('trace', 'debug', 'info', 'warn', 'error'),
      'info',
      'The least important lines that are written.',
      reload,
    ),
    format: setting(oneOf('auto', 'pretty', 'json'), 'auto', 'auto: pretty on a terminal, else JSON lines.'),
    requests: setting(flag, true, 'One line a request.'),
  },
} as const;

/** Whether a node of the tree is a setting rather than a section. */
export function isSetting(node: Section | Setting<unknown>): node is Setting<unknown> {
  return 'kind' in node && 'about' in node;
}

/** All settings of a tree by dotted path, in the order of the file. */
export function listSettings(section: Section, prefix = ''): ReadonlyMap<string, Setting<unknown>> {
  const found = new Map<string, Setting<unknown>>();
  for (const [name, node] of Object.entries(section)) {
    if (isSetting(node)) found.set(prefix + name, node);
    else for (const [inner, one] of listSettings(node, `${prefix}${name}.`)) found.set(inner, one);
  }
  return found;
}
