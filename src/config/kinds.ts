// The kinds of value that a setting can have: how each is written, what is allowed, and what it means to the program.
import { isIP } from 'node:net';
import { parseSchedule } from './schedule.ts';

/** A value as the file has it (after YAML) and as JSON can show it. */
export type Written = string | number | boolean | readonly string[];

export interface Kind<V> {
  /** What is allowed, to stand after "allowed:" in a fault. */
  readonly allowed: string;
  /** Keywords of JSON Schema for the written form. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** What the written form means; undefined when it is not allowed. */
  parse(written: unknown): V | undefined;
  /** The written form that a text from the environment or a flag stands for. */
  fromText(text: string): unknown;
  /** For a list: the kind of each of its items, so that a fault can name the one at fault. */
  readonly item?: Kind<unknown>;
}

/** A kind that is written as a text; `parse` sees texts only. */
function textKind<V>(
  allowed: string,
  pattern: RegExp,
  parse: (match: RegExpExecArray) => V | undefined,
): Kind<V> {
  return {
    allowed,
    schema: { type: 'string', pattern: pattern.source },
    fromText: (text) => text,
    parse(written) {
      const match = typeof written === 'string' ? pattern.exec(written) : null;
      return match === null ? undefined : parse(match);
    },
  };
}

export const flag: Kind<boolean> = {
  allowed: 'true or false',
  schema: { type: 'boolean' },
  fromText: (text) => ({ true: true, false: false })[text] ?? text,
  parse: (written) => (typeof written === 'boolean' ? written : undefined),
};

/** A whole number in [least, most]. */
export function wholeNumber(least: number, most: number): Kind<number> {
  return {
    allowed: `a whole number from ${least} to ${most}`,
    schema: { type: 'integer', minimum: least, maximum: most },
    fromText: (text) => (/^\d{1,15}$/.test(text) ? Number(text) : text),
    parse: (written) =>
      typeof written === 'number' && Number.isInteger(written) && written >= least && written <= most
        ? written
        : undefined,
  };
}

export function oneOf<const V extends string>(...words: readonly V[]): Kind<V> {
  return {
    allowed: words.length === 2 ? words.join(' or ') : `one of ${words.join(', ')}`,
    schema: { enum: words },
    fromText: (text) => text,
    parse: (written) => {
      // `minimumVersion: 1.2` without quotes is a number to YAML and clear to everybody else.
      const text = typeof written === 'number' ? String(written) : written;
      return words.find((word) => word === text);
    },
  };
}

/** A path of the file system, absolute or from the folder that Berth was started in. */
export const path: Kind<string> = textKind(
  'a path, absolute or from the folder that Berth is started in',
  /^[^\0]+$/,
  ([text]) => text,
);

const secondsIn = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/**
 * A time span, to seconds: 30s 5m 24h 14d. With `never`, that word means Infinity; `longestDays` is for what ends up in a
 * timer, since Node's fire at once when they are set to more than 2^31 ms.
 */
export function duration(options: { never?: boolean; longestDays?: number } = {}): Kind<number> {
  const { never = false, longestDays = 36_500 } = options;
  const limit = options.longestDays === undefined ? '' : `, at most ${longestDays}d`;
  const allowed = `a number and s, m, h or d, such as 30s, 5m, 24h, 14d${limit}${never ? ', or never' : ''}`;
  const pattern = never ? /^(?:([1-9]\d{0,8})([smhd])|never)$/ : /^([1-9]\d{0,8})([smhd])$/;
  return textKind(allowed, pattern, ([, number, unit]) => {
    if (number === undefined) return Number.POSITIVE_INFINITY;
    const seconds = Number(number) * secondsIn[unit as keyof typeof secondsIn];
    return seconds <= longestDays * secondsIn.d ? seconds : undefined;
  });
}

const bytesIn = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
const sizeAllowed = 'a number and B, KiB, MiB, GiB or TiB, such as 512MiB, 10GiB';

function bytesOf(number: string | undefined, unit: string | undefined): number | undefined {
  const bytes = Number(number) * bytesIn[unit as keyof typeof bytesIn];
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A size, to bytes: 512MiB 1.5GiB. With `unlimited`, that word means Infinity. */
export function size(options: { unlimited?: boolean } = {}): Kind<number> {
  const number = String.raw`(\d{1,12}(?:\.\d{1,3})?)(B|KiB|MiB|GiB|TiB)`;
  const pattern = new RegExp(options.unlimited ? `^(?:${number}|unlimited)$` : `^${number}$`);
  return textKind(
    options.unlimited ? `${sizeAllowed}, or unlimited` : sizeAllowed,
    pattern,
    ([, count, unit]) => (count === undefined ? Number.POSITIVE_INFINITY : bytesOf(count, unit)),
  );
}

/** A rate, to bytes per second: 1KiB/s. */
export const rate: Kind<number> = textKind(
  'a size per second, such as 1KiB/s or 8MiB/s',
  /^(\d{1,12}(?:\.\d{1,3})?)(B|KiB|MiB|GiB|TiB)\/s$/,
  ([, count, unit]) => bytesOf(count, unit),
);

/** A share from 0 to 1, written in percent: 1%. */
export const share: Kind<number> = textKind(
  'a percentage from 0% to 99%, such as 1%',
  /^(\d{1,2}(?:\.\d{1,2})?)%$/,
  ([, percent]) => Number(percent) / 100,
);

/** The smaller of a share of the medium and a number of bytes: 5% up to 2GiB, 5%, or 2GiB. */
export const room: Kind<{ readonly share: number; readonly bytes: number }> = textKind(
  'a percentage, a size or both, such as 5% up to 2GiB, 5% or 2GiB',
  /^(?:(\d{1,2}(?:\.\d{1,2})?)%(?: up to (\d{1,12}(?:\.\d{1,3})?)(B|KiB|MiB|GiB|TiB))?|(\d{1,12}(?:\.\d{1,3})?)(B|KiB|MiB|GiB|TiB))$/,
  ([, percent, most, mostUnit, count, unit]) => {
    const written = most ?? count;
    const bytes = written === undefined ? Number.POSITIVE_INFINITY : bytesOf(written, mostUnit ?? unit);
    return bytes === undefined
      ? undefined
      : { share: percent === undefined ? 1 : Number(percent) / 100, bytes };
  },
);

/** An address to bind to. Host names are left out: whether one is this machine alone cannot be told from its spelling. */
export const bindAddress: Kind<string> = textKind(
  'an IP address of this machine, such as 127.0.0.1, 0.0.0.0 or ::, or localhost',
  /^[0-9A-Fa-f.:]{2,45}$|^localhost$/,
  ([text]) => (text === 'localhost' || isIP(text) !== 0 ? text : undefined),
);

/** HOST:PORT, the host as in bindAddress and an IPv6 one in brackets. */
export const socketAddress: Kind<{ readonly host: string; readonly port: number }> = textKind(
  'HOST:PORT with an IP address or localhost, such as 127.0.0.1:9090 or [::1]:9090',
  /^(?:\[([0-9A-Fa-f.:]{2,45})\]|([0-9.]{7,15}|localhost)):(\d{1,5})$/,
  ([, sixth, other, digits]) => {
    const host = sixth ?? other;
    const port = Number(digits);
    const valid =
      host !== undefined &&
      port <= 65_535 &&
      (sixth === undefined ? bindAddress.parse(host) : isIP(sixth) === 6);
    return valid ? { host, port } : undefined;
  },
);

/** A text without line breaks. */
export const text: Kind<string> = textKind('a text without line breaks', /^[^\0\r\n]+$/, ([whole]) => whole);

/** A name that somebody could register: one component of a repository name. */
export const accountName: Kind<string> = textKind(
  'a name of lower-case letters and digits, joined inside by one of ". _ __ -"',
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/,
  ([name]) => name,
);

/** Times as in a crontab; the value stays text, so that it can be compared. */
export const schedule: Kind<string> = textKind(
  'five fields as in a crontab (minute hour day month weekday), such as 17 * * * * or 30 3 * * 1-5',
  /^\s*\S+(?:\s+\S+){4}\s*$/,
  ([text]) => {
    try {
      parseSchedule(text);
      return text.trim();
    } catch {
      return undefined;
    }
  },
);

/** Where the management socket is: auto, off, or an absolute path. */
export const socketPlace: Kind<string> = textKind(
  'auto, off or an absolute path',
  /^(?:auto|off|\/[^\0]+)$/,
  ([place]) => place,
);

/** `kind`, or the word unlimited, which means Infinity. */
export function orUnlimited(kind: Kind<number>): Kind<number> {
  return {
    allowed: `${kind.allowed}, or unlimited`,
    schema: { anyOf: [kind.schema, { const: 'unlimited' }] },
    fromText: (written) => (written === 'unlimited' ? written : kind.fromText(written)),
    parse: (written) => (written === 'unlimited' ? Number.POSITIVE_INFINITY : kind.parse(written)),
  };
}

/** An address or a block of addresses in CIDR form. */
export const addressBlock: Kind<string> = textKind(
  'an IP address or a block of them in CIDR form, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8',
  /^([0-9A-Fa-f.:]{2,45})(?:\/(\d{1,3}))?$/,
  ([text, address = '', prefix]) => {
    const longest = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0;
    // A prefix of 0 would believe everybody, which nobody means who writes a list of proxies.
    return longest > 0 && (prefix === undefined || (Number(prefix) >= 1 && Number(prefix) <= longest))
      ? text
      : undefined;
  },
);

/** The word loopback, an address, or a block of addresses. */
export const loopbackOrBlock: Kind<string> = {
  allowed: `loopback, or ${addressBlock.allowed}`,
  schema: { anyOf: [{ const: 'loopback' }, addressBlock.schema] },
  fromText: (written) => written,
  parse: (written) => (written === 'loopback' ? written : addressBlock.parse(written)),
};

/** Where webhooks may go: a word, an address or block, or a host name, also *.example.com. */
export const webhookHost: Kind<string> = textKind(
  'external, private, loopback, an IP address or block such as 10.1.2.0/24, or a host name such as hooks.example.com or *.example.com',
  /^(?:[0-9A-Fa-f.:]{2,45}(?:\/\d{1,3})?|(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?)$/,
  ([text]) => {
    const looksLikeAddress = /^[\d./]+$|:|\//.test(text);
    return looksLikeAddress ? addressBlock.parse(text) : text.includes('..') ? undefined : text.toLowerCase();
  },
);

/** The origin that clients type, without a trailing slash. */
export const publicUrl: Kind<string> = textKind(
  'http:// or https://, a host and perhaps a port, without a path, such as https://registry.example.com',
  /^https?:\/\/[^/?#@\s]+\/?$/i,
  ([text]) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return url === undefined || url.hostname === '' ? undefined : url.origin;
  },
);

/** A list of values of one kind; in the environment with commas between them. */
export function listOf<V>(item: Kind<V>): Kind<readonly V[]> {
  return {
    item,
    allowed: `a list; each item ${item.allowed}`,
    schema: { type: 'array', items: item.schema },
    fromText: (text) =>
      text
        .split(',')
        .map((part) => item.fromText(part.trim()))
        .filter((part) => part !== ''),
    parse(written) {
      if (!Array.isArray(written)) return undefined;
      const values = written.map((one) => item.parse(one));
      return values.every((value) => value !== undefined) ? values : undefined;
    },
  };
}
