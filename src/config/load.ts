// The effective configuration: defaults, then the file, then the environment, then flags. All faults are reported at once.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { checkCombinations } from './combinations.ts';
import type { Config } from './config.ts';
import { type Entry, parseEntry } from './entry.ts';
import { type Environment, listForeignVariables, readEnvironment } from './environment.ts';
import { ConfigurationError, type Fault } from './faults.ts';
import { readConfigFile } from './file.ts';
import { listSettings, settings, type ValuesOf } from './settings.ts';

export interface ConfigSources {
  /** The folder that relative paths start from. */
  readonly folder: string;
  readonly environment: Environment;
  /** The file named by a flag; otherwise BERTH_CONFIG, ./berth.yaml or /etc/berth/berth.yaml, whichever is first. */
  readonly file?: string | undefined;
  /** Settings given by flags: dotted path, the flag's name and its text. */
  readonly flags?: readonly { readonly path: string; readonly flag: string; readonly text: string }[];
}

export interface LoadedConfig {
  readonly config: Config;
  /** The file that was read, absolute; undefined: there is none. */
  readonly file: string | undefined;
  /** By dotted path: where the value comes from (FILE:LINE, a variable, a flag); absent: it is the default. */
  readonly sources: ReadonlyMap<string, string>;
  /** By dotted path: the value as somebody wrote it; absent: it is the default. */
  readonly written: ReadonlyMap<string, unknown>;
  /** Sentences for the person who starts Berth. */
  readonly notes: readonly string[];
}

const systemFile = '/etc/berth/berth.yaml';

/** Reads and checks everything. Throws ConfigurationError with every fault there is; the result is frozen. */
export function loadConfig(from: ConfigSources): LoadedConfig {
  const located = locateFile(from);
  const fromFile =
    located === undefined ? nothing : readConfigFile(located.location, located.shownAs, settings);
  const fromEnvironment = readEnvironment(from.environment, settings);
  const known = listSettings(settings);
  const fromFlags = (from.flags ?? []).map(({ path, flag, text }): Entry => {
    return { path, written: known.get(path)?.kind.fromText(text), where: flag };
  });
  const faults: Fault[] = [...fromFile.faults, ...fromEnvironment.faults];
  const sources = new Map<string, string>();
  const written = new Map<string, unknown>();
  const values = new Map<string, unknown>();
  for (const entry of [...fromFile.entries, ...fromEnvironment.entries, ...fromFlags]) {
    const setting = known.get(entry.path);
    if (setting === undefined) throw new Error(`no setting ${entry.path}`);
    values.set(entry.path, parseEntry(entry, setting, faults));
    sources.set(entry.path, entry.where);
    written.set(entry.path, entry.written);
  }
  // Combinations are judged even beside other faults, with the default in the place of an unusable value.
  const config = assemble(values, from.folder);
  faults.push(...checkCombinations(config, rawTls(values), (path) => sources.get(path) ?? path));
  if (faults.length > 0) throw new ConfigurationError(faults);
  const notes = listForeignVariables(from.environment);
  return { config: freezeDeep(config), file: located?.location, sources, written, notes };
}

const nothing = { entries: [], faults: [] } as const;

function locateFile(from: ConfigSources): { location: string; shownAs: string } | undefined {
  const named = from.file ?? (from.environment.BERTH_CONFIG || undefined);
  if (named !== undefined) return { location: resolve(from.folder, named), shownAs: named };
  for (const candidate of ['berth.yaml', systemFile]) {
    const location = resolve(from.folder, candidate);
    if (existsSync(location)) return { location, shownAs: candidate };
  }
  return undefined;
}

function rawTls(values: ReadonlyMap<string, unknown>): { certificate: boolean; key: boolean } {
  const isSet = (name: string): boolean => values.get(`http.tls.${name}`) !== undefined;
  return { certificate: isSet('certificate'), key: isSet('key') };
}

function assemble(values: ReadonlyMap<string, unknown>, folder: string): Config {
  const tree = valueTree(settings, values, '') as ValuesOf<typeof settings>;
  const { certificate, key, minimumVersion } = tree.http.tls;
  const tls =
    certificate === undefined || key === undefined
      ? undefined
      : { certificate: resolve(folder, certificate), key: resolve(folder, key), minimumVersion };
  const destination = tree.backup.destination && resolve(folder, tree.backup.destination);
  return {
    ...tree,
    data: resolve(folder, tree.data),
    http: { ...tree.http, tls },
    backup: { ...tree.backup, destination },
  };
}

function valueTree(section: object, values: ReadonlyMap<string, unknown>, prefix: string): unknown {
  const tree: Record<string, unknown> = {};
  for (const [name, node] of Object.entries(section)) {
    const path = prefix + name;
    if ('kind' in node) tree[name] = values.get(path) ?? node.kind.parse(node.fallback);
    else tree[name] = valueTree(node, values, `${path}.`);
  }
  return tree;
}

function freezeDeep<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freezeDeep);
  return Object.freeze(value);
}
