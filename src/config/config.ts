// The shape of Berth's effective configuration: one frozen value, with durations in seconds and sizes in bytes.
// Names and defaults are those of config/berth.yaml. `Infinity` stands for "unlimited" and "never".
import type { SparseMode, Visibility } from '../storage/metadata-store.ts';

export interface Config {
  readonly data: string;
  readonly http: {
    readonly address: string;
    readonly port: number;
    /** What clients type, without a trailing slash; undefined: taken from the request. */
    readonly publicUrl: string | undefined;
    readonly trustedProxies: readonly string[];
    readonly relativeUrls: boolean;
    readonly tls:
      | { readonly certificate: string; readonly key: string; readonly minimumVersion: '1.2' | '1.3' }
      | undefined;
    /** `auto`, `off` or an absolute path. */
    readonly socket: string;
  };
  readonly access: {
    readonly mode: 'auto' | 'open' | 'token';
    readonly openOnNetwork: boolean;
    readonly adminPassword: string | undefined;
    readonly organizationsCreatedBy: 'administrators' | 'users';
    readonly personalNamespaces: boolean;
    readonly createOnPush: boolean;
    readonly defaultVisibility: Visibility;
    readonly reservedNames: readonly string[];
  };
  readonly auth: {
    readonly token: {
      readonly service: string | undefined;
      readonly issuer: string | undefined;
      readonly lifetime: number;
      readonly clockSkew: number;
      readonly keyRotation: number;
    };
    readonly refreshToken: { readonly lifetime: number };
    readonly password: {
      readonly minimumLength: number;
      readonly bcryptCost: number;
      readonly refuseCommon: boolean;
    };
    readonly personalToken: { readonly defaultExpiry: number; readonly longestExpiry: number };
    readonly robotToken: {
      readonly defaultExpiry: number;
      readonly longestExpiry: number;
      readonly warnUnused: number;
      readonly warnBeforeExpiry: number;
    };
    readonly throttle: {
      readonly failuresPerAccount: number;
      readonly failuresPerAddress: number;
      readonly window: number;
      /** Addresses, CIDR blocks, and the word loopback. */
      readonly exemptAddresses: readonly string[];
    };
    readonly session: { readonly idle: number; readonly longest: number };
  };
  readonly storage: {
    readonly delete: boolean;
    readonly readOnly: boolean;
    /** Uploads are refused below the smaller of a share of the medium (0 to 1) and a number of bytes. */
    readonly keepFree: { readonly share: number; readonly bytes: number };
    readonly keepFreeInodes: number;
    readonly ballast: number;
    readonly blobSizeLimit: number;
    readonly manifestSizeLimit: number;
    readonly sparseManifests: SparseMode;
    readonly upload: {
      readonly idleExpiry: number;
      readonly longest: number;
      readonly perRepository: number;
      readonly perPrincipal: number;
      readonly total: number;
    };
  };
  readonly repositories: {
    readonly undeleteFor: number;
    readonly keepOldNameFor: number;
    readonly historyKept: number;
  };
  readonly retention: { readonly enabled: boolean; readonly schedule: string };
  readonly collector: {
    readonly enabled: boolean;
    /** As in a crontab; parseSchedule reads it. */
    readonly schedule: string;
    /** A share, 0 to 1. */
    readonly stopAbove: number;
    readonly lease: number;
  };
  readonly scrub: {
    readonly enabled: boolean;
    /** Bytes per second. */
    readonly rate: number;
    readonly fullPassWithin: number;
  };
  readonly quotas: {
    readonly registry: number;
    readonly organization: number;
    readonly user: number;
    /** A share, 0 to 1. */
    readonly warnAt: number;
  };
  readonly signatures: {
    readonly simpleSigning: boolean;
  };
  readonly inspection: {
    readonly archiveFileLimit: number;
    readonly archiveRatioLimit: number;
  };
  readonly webhooks: {
    /** Words, addresses, blocks and host names; webhooks/allowed-hosts.ts reads them. */
    readonly allowedHosts: readonly string[];
    readonly timeout: number;
    readonly attempts: number;
    readonly deliveriesKept: number;
  };
  readonly backup: {
    readonly schedule: string | undefined;
    readonly destination: string | undefined;
    readonly keep: number;
    readonly verify: boolean;
  };
  readonly limits: {
    readonly connections: number;
    readonly headerSize: number;
    readonly headersTimeout: number;
    readonly jsonBody: number;
    readonly jsonBodyTimeout: number;
    readonly idleTimeout: number;
    readonly keepAlive: number;
    /** Bytes per second, averaged over 120 s. */
    readonly slowestTransfer: number;
    readonly listWithoutN: number;
    readonly pageSize: number;
    readonly shutdown: number;
  };
  readonly audit: { readonly keep: number; readonly recordPulls: boolean };
  readonly metrics: { readonly address: { readonly host: string; readonly port: number } | undefined };
  readonly log: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
    readonly format: 'auto' | 'pretty' | 'json';
    readonly requests: boolean;
  };
}
