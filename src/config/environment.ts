// The environment as a source of settings: BERTH_ and the path in upper case, words split (http.publicUrl is
// BERTH_HTTP_PUBLIC_URL). A variable of ours that means nothing is a fault; one of distribution's is answered with ours.
import { readFileSync } from 'node:fs';
import { findClosest } from './closest.ts';
import type { Entry } from './entry.ts';
import type { Fault } from './faults.ts';
import { listSettings, type Section } from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

const prefix = 'BERTH_';

/** BERTH_* variables that are no settings: the command line's own. */
const otherVariables = ['BERTH_CONFIG', 'BERTH_REGISTRY', 'BERTH_TOKEN', 'BERTH_TOKEN_FILE'];

// Kubernetes gives every pod such variables for each service of its namespace; one called "berth" must not stop Berth.
const serviceLinkName = /_(SERVICE_(HOST|PORT(_.+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
const serviceLinkValue = /^(tcp|udp|sctp):\/\//;

/** The variable that sets the setting at a dotted path. */
export function variableOf(path: string): string {
  const words = path.replaceAll('.', '_').replace(/([a-z0-9])([A-Z])/g, '$1_$2');
  return prefix + words.toUpperCase();
}

/** The entries of the BERTH_* variables. An empty variable counts as not set. Unknown ones are faults. */
export function readEnvironment(
  environment: Environment,
  settings: Section,
): { entries: readonly Entry[]; faults: readonly Fault[] } {
  const entries: Entry[] = [];
  const faults: Fault[] = [];
  const known = new Set(otherVariables);
  for (const [path, setting] of listSettings(settings)) {
    const variable = variableOf(path);
    known.add(variable);
    const text = environment[variable];
    const isSet = text !== undefined && text !== '' && !serviceLinkValue.test(text);
    if (isSet) entries.push({ path, written: setting.kind.fromText(text), where: variable });
    if (!setting.secret) continue;
    known.add(`${variable}_FILE`);
    const secretFile = environment[`${variable}_FILE`];
    if (secretFile === undefined || secretFile === '') continue;
    if (isSet) {
      faults.push({ where: variable, message: `${variable}_FILE is set too: use one of the two` });
      continue;
    }
    const secret = readSecret(secretFile, `${variable}_FILE`, faults);
    if (secret !== undefined) {
      entries.push({ path, written: setting.kind.fromText(secret), where: `${variable}_FILE` });
    }
  }
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith(prefix) || known.has(name) || isServiceLink(name, text)) continue;
    faults.push({ where: name, message: unknownVariableMessage(name, known) });
  }
  return { entries, faults };
}

/** The content of a secret's file without the line end that editors and `echo` leave there. */
function readSecret(location: string, variable: string, faults: Fault[]): string | undefined {
  try {
    return readFileSync(location, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    faults.push({ where: variable, message: `the file cannot be read: ${(error as Error).message}` });
    return undefined;
  }
}

function isServiceLink(name: string, text: string | undefined): boolean {
  return serviceLinkName.test(name) || serviceLinkValue.test(text ?? '');
}

function unknownVariableMessage(name: string, known: ReadonlySet<string>): string {
  const withoutFile = name.replace(/_FILE$/, '');
  if (withoutFile !== name && known.has(withoutFile)) {
    return `only secrets are read from a file; set ${withoutFile} itself`;
  }
  const tail = name.slice('BERTH'.length);
  const meant = [...known].find((one) => one.endsWith(tail)) ?? findClosestVariable(name, known);
  const hint = meant === undefined ? '`berth config show` lists them all' : `did you mean ${meant}?`;
  return `unknown variable; ${hint}`;
}

/** The common beginning says nothing about how near two names are. */
function findClosestVariable(name: string, known: ReadonlySet<string>): string | undefined {
  const near = findClosest(
    name.slice(prefix.length),
    [...known].map((one) => one.slice(prefix.length)),
  );
  return near === undefined ? undefined : prefix + near;
}

const replacements: readonly (readonly [beginning: string, ours: string])[] = [
  ['REGISTRY_HTTP_ADDR', 'BERTH_HTTP_ADDRESS and BERTH_HTTP_PORT'],
  ['REGISTRY_HTTP_HOST', 'BERTH_HTTP_PUBLIC_URL'],
  ['REGISTRY_HTTP_RELATIVEURLS', 'BERTH_HTTP_RELATIVE_URLS'],
  ['REGISTRY_HTTP_TLS_CERTIFICATE', 'BERTH_HTTP_TLS_CERTIFICATE'],
  ['REGISTRY_HTTP_TLS_KEY', 'BERTH_HTTP_TLS_KEY'],
  ['REGISTRY_HTTP_TLS_MINIMUMTLS', 'BERTH_HTTP_TLS_MINIMUM_VERSION'],
  ['REGISTRY_HTTP_DRAINTIMEOUT', 'BERTH_LIMITS_SHUTDOWN'],
  ['REGISTRY_HTTP_DEBUG', 'BERTH_METRICS_ADDRESS'],
  ['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY', 'BERTH_DATA'],
  ['REGISTRY_STORAGE_DELETE', 'BERTH_STORAGE_DELETE'],
  ['REGISTRY_STORAGE_MAINTENANCE_READONLY', 'BERTH_STORAGE_READ_ONLY'],
  ['REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING', 'BERTH_STORAGE_UPLOAD_IDLE_EXPIRY'],
  ['REGISTRY_CATALOG_MAXENTRIES', 'BERTH_LIMITS_LIST_WITHOUT_N'],
  ['REGISTRY_LOG_LEVEL', 'BERTH_LOG_LEVEL'],
  ['REGISTRY_LOG_FORMATTER', 'BERTH_LOG_FORMAT'],
  ['REGISTRY_LOG_ACCESSLOG', 'BERTH_LOG_REQUESTS'],
];
const sectionsOfDistribution =
  /^REGISTRY_(VERSION|HTTP|STORAGE|AUTH|LOG|PROXY|REDIS|NOTIFICATIONS|HEALTH|MIDDLEWARE|CATALOG|VALIDATION|POLICY|COMPATIBILITY|REPORTING)(_|$)/;

/** A sentence for each variable of distribution (registry:2) that is set: it is not read, and which of ours does the same. */
export function listForeignVariables(environment: Environment): readonly string[] {
  return Object.keys(environment)
    .filter((name) => sectionsOfDistribution.test(name))
    .sort()
    .map((name) => {
      const ours = replacements.find(([beginning]) => name.startsWith(beginning))?.[1];
      return ours === undefined
        ? `${name} is not read, and Berth has no setting like it`
        : `${name} is not read; Berth has ${ours}`;
    });
}
