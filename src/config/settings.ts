// Every setting: its place in the file, its kind, its default as one would write it, and what it does. Validation, the
// environment, the JSON Schema and `berth config show` are all read from this one tree; config/berth.yaml is compared with it.
import {
  accountName,
  addressBlock,
  bindAddress,
  duration,
  flag,
  type Kind,
  listOf,
  loopbackOrBlock,
  oneOf,
  orUnlimited,
  path,
  publicUrl,
  rate,
  room,
  schedule,
  share,
  size,
  socketAddress,
  socketPlace,
  text,
  type Written,
  webhookHost,
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
    socket: setting(
      socketPlace,
      'auto',
      'The management socket of this machine: auto puts it into the data folder; off: none.',
    ),
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
    adminPassword: optional(
      text,
      'First start only: the password of the user admin; empty: a random one in a file of the data folder.',
      { secret: true },
    ),
    organizationsCreatedBy: setting(
      oneOf('administrators', 'users'),
      'administrators',
      'Who may found organizations.',
    ),
    personalNamespaces: setting(
      flag,
      true,
      'Every user who is not a guest owns the namespace of the same name.',
    ),
    createOnPush: setting(
      flag,
      true,
      'A push by somebody with the role write makes the repository; false: it has to be made first.',
    ),
    defaultVisibility: setting(
      oneOf('private', 'internal', 'public'),
      'private',
      'What new repositories are where their namespace does not say otherwise.',
      reload,
    ),
    reservedNames: setting(listOf(accountName), [], 'More names that nobody may register.'),
  },
  auth: {
    token: {
      service: optional(text, 'The service of bearer tokens; empty: the host of http.publicUrl, else berth.'),
      issuer: optional(text, 'The issuer of bearer tokens; empty: http.publicUrl, else berth.'),
      lifetime: setting(duration({ longestDays: 1 }), '15m', 'How long a bearer token is good for.'),
      clockSkew: setting(duration({ longestDays: 1 }), '60s', 'How far clocks of clients may be off.'),
      keyRotation: setting(duration({ never: true }), '30d', 'How long a signing key signs.'),
    },
    refreshToken: {
      lifetime: setting(
        duration({ never: true }),
        '90d',
        'How long the identity token of docker is good for.',
      ),
    },
    password: {
      minimumLength: setting(
        wholeNumber(8, 64),
        12,
        'Characters of a password at least; it has 72 bytes at most.',
      ),
      bcryptCost: setting(wholeNumber(10, 16), 12, 'The cost of a password hash, as a power of two.'),
      refuseCommon: setting(flag, true, 'Refuses passwords that are known to be common.'),
    },
    personalToken: {
      defaultExpiry: setting(duration({ never: true }), '90d', 'When a personal token ends unless told.'),
      longestExpiry: setting(duration({ never: true }), '365d', 'The longest life of a personal token.'),
    },
    robotToken: {
      defaultExpiry: setting(duration({ never: true }), 'never', 'When a token of a robot ends unless told.'),
      longestExpiry: setting(duration({ never: true }), 'never', 'The longest life of a token of a robot.'),
      warnUnused: setting(duration({ never: true }), '90d', 'Warns of tokens that nobody used for so long.'),
      warnBeforeExpiry: setting(duration(), '14d', 'Warns of tokens that end within so long.'),
    },
    throttle: {
      failuresPerAccount: setting(
        orUnlimited(many),
        10,
        'Wrong passwords of one account from one address (IPv6: /64) within the window.',
      ),
      failuresPerAddress: setting(
        orUnlimited(many),
        100,
        'Wrong passwords from one address within the window.',
      ),
      window: setting(wait, '15m', 'The time in which wrong passwords are counted.'),
      exemptAddresses: setting(
        listOf(loopbackOrBlock),
        ['loopback'],
        'Addresses whose wrong passwords are not counted by address.',
      ),
    },
    session: {
      idle: setting(duration(), '8h', 'A browser session nobody uses for so long ends.'),
      longest: setting(duration(), '7d', 'A browser session ends after so long in any case.'),
    },
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
      'How long deleted manifests and repositories can be restored before their bytes are freed.',
    ),
    keepOldNameFor: setting(
      duration({ never: true }),
      '90d',
      'How long a moved repository is served under its old name, too.',
    ),
    historyKept: setting(
      duration({ never: true }),
      '365d',
      'Rows of tag history that are older and tell of nothing that could be restored are dropped.',
    ),
  },
  collector: {
    enabled: setting(flag, true, 'Takes back space by itself, at the times of collector.schedule.'),
    schedule: setting(schedule, '17 * * * *', 'When space is taken back; minute hour day month weekday.'),
    stopAbove: setting(
      share,
      '30%',
      'A collection that would take back more than this (and 1 GiB, and 1,000 blobs) needs to be forced.',
    ),
    lease: setting(duration(), '24h', 'What a client was told exists is kept at least half of this.'),
  },
  scrub: {
    enabled: setting(
      flag,
      true,
      'Reads every blob again in the background, those first that were checked longest ago.',
    ),
    rate: setting(rate, '8MiB/s', 'How fast the background scrub reads.'),
    fullPassWithin: setting(
      duration(),
      '30d',
      'Every blob is read once in this time: the rate rises where it takes that.',
    ),
  },
  retention: {
    enabled: setting(flag, true, 'Runs the rules of retention by itself, where a namespace has some.'),
    schedule: setting(schedule, '37 3 * * *', 'When they run; minute hour day month weekday.'),
  },
  quotas: {
    registry: setting(
      size({ unlimited: true }),
      'unlimited',
      'Bytes that the registry may hold, each blob counted once.',
      reload,
    ),
    organization: setting(
      size({ unlimited: true }),
      'unlimited',
      'Bytes of an organization without a quota of its own.',
      reload,
    ),
    user: setting(
      size({ unlimited: true }),
      'unlimited',
      "Bytes of a user's namespace without a quota of its own.",
      reload,
    ),
    warnAt: setting(share, '80%', 'An event tells when so much of a quota is used.', reload),
  },
  signatures: {
    simpleSigning: setting(
      flag,
      false,
      'podman and skopeo keep simple signatures here; every pull of theirs then asks once more.',
    ),
  },
  inspection: {
    archiveFileLimit: setting(size(), '16MiB', 'The largest file that is read out of a layer.'),
    archiveRatioLimit: setting(
      wholeNumber(1, 100_000),
      200,
      'A layer that decompresses to more than so many times its size is not looked into (beyond 64 MiB).',
    ),
  },
  webhooks: {
    allowedHosts: setting(
      listOf(webhookHost),
      ['external'],
      'Where webhooks may go: external, private, loopback, addresses and blocks, host names.',
    ),
    timeout: setting(duration({ longestDays: 1 }), '10s', 'How long a delivery may take in all.'),
    attempts: setting(wholeNumber(1, 100), 12, 'So often a delivery is tried; twelve times are about a day.'),
    deliveriesKept: setting(duration({ never: true }), '30d', 'How long the log of deliveries is kept.'),
  },
  backup: {
    schedule: optional(schedule, 'When a backup is made by itself; empty: only by command.'),
    destination: optional(path, 'The folder of backups, on another disk.'),
    keep: setting(wholeNumber(1, 10_000), 7, 'So many backups stay when one is made there.'),
    verify: setting(flag, true, 'Reads each backup once more when it is made.'),
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
    pageSize: setting(wholeNumber(1, 1000), 100, 'Items of a page of the management API unless told.'),
    shutdown: setting(wait, '60s', 'The time that requests in flight have to finish after SIGTERM.'),
  },
  audit: {
    keep: setting(duration({ never: true }), '365d', 'How long audited events are kept.'),
    recordPulls: setting(
      flag,
      false,
      'true: pulls are events too, for webhooks, the live stream and the audit.',
    ),
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
