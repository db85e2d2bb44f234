// The configuration file: YAML to entries, each with its line. Nothing in it is ignored: what is not known is a fault.
import { readFileSync } from 'node:fs';
import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
} from 'yaml';
import { findClosest } from './closest.ts';
import type { Entry } from './entry.ts';
import { type Fault, foundText } from './faults.ts';
import { isSetting, listSettings, type Section } from './settings.ts';

/** More than any configuration needs; keeps a wrong path (a disk image, say) from being read whole into a parser. */
const largestFileBytes = 1_048_576;

interface Reading {
  readonly whereOf: (node: unknown) => string;
  readonly entries: Entry[];
  readonly faults: Fault[];
  /** Dotted paths of all settings, for "did you mean". */
  readonly paths: readonly string[];
}

/** The entries of the file at `location`, called `shownAs` in faults. An absent or unreadable file is a fault too. */
export function readConfigFile(
  location: string,
  shownAs: string,
  settings: Section,
): { entries: readonly Entry[]; faults: readonly Fault[] } {
  let text: string;
  try {
    text = readFileSync(location, 'utf8');
  } catch (error) {
    const reasons: Record<string, string> = {
      ENOENT: 'there is no such file',
      EACCES: 'it may not be read by this user',
      EISDIR: 'it is a folder; name the file in it',
    };
    const { code = '', message } = error as NodeJS.ErrnoException;
    return { entries: [], faults: [{ where: shownAs, message: reasons[code] ?? message }] };
  }
  if (text.length > largestFileBytes) {
    return {
      entries: [],
      faults: [{ where: shownAs, message: 'it is larger than 1 MiB: no configuration is' }],
    };
  }
  return parseConfigText(text, shownAs, settings);
}

/** The entries of a YAML text; every fault of syntax and every unknown key is reported with `shownAs` and its line. */
export function parseConfigText(
  text: string,
  shownAs: string,
  settings: Section,
): { entries: readonly Entry[]; faults: readonly Fault[] } {
  const lineCounter = new LineCounter();
  const document = parseYaml(text, lineCounter);
  if (document === undefined)
    return { entries: [], faults: [{ where: shownAs, message: 'it is nested too deeply' }] };
  const whereAt = (offset: number): string => `${shownAs}:${lineCounter.linePos(offset).line}`;
  const faults = [...document.errors, ...document.warnings].map((problem) => ({
    where: whereAt(problem.pos[0]),
    message: syntaxMessages[problem.code] ?? `not valid YAML: ${problem.message}`,
  }));
  visit(document, {
    Alias(_key, { source, range }) {
      faults.push({
        where: whereAt(range?.[0] ?? 0),
        message: `*${source}: aliases are not read here; write the value out`,
      });
    },
  });
  // After a fault of syntax the rest may have been read in a wrong way, so that its faults would mislead.
  if (faults.length > 0) return { entries: [], faults: withoutRepeats(faults) };
  const reading: Reading = {
    whereOf: (node) => whereAt((node as Node | null)?.range?.[0] ?? 0),
    entries: [],
    faults: [],
    paths: [...listSettings(settings).keys()],
  };
  readSection(document.contents, settings, '', shownAs, reading);
  return { entries: reading.entries, faults: reading.faults };
}

/** Undefined when the text is nested so deeply that the parser runs out of stack. */
function parseYaml(text: string, lineCounter: LineCounter): Document | undefined {
  try {
    return parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: false });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

const syntaxMessages: Record<string, string> = {
  TAB_AS_INDENT: 'a tab is used for indentation: YAML allows spaces only',
  MULTIPLE_DOCS: 'a second document begins (---): one file is one document',
};

function withoutRepeats(faults: readonly Fault[]): readonly Fault[] {
  const seen = new Set<string>();
  return faults.filter(({ where }) => !seen.has(where) && seen.add(where));
}

function readSection(
  map: unknown,
  section: Section,
  prefix: string,
  keyWhere: string,
  reading: Reading,
): void {
  if (map === null || map === undefined || (isScalar(map) && map.value === null)) return;
  if (!isMap(map)) {
    const what = prefix === '' ? 'the file' : prefix.slice(0, -1);
    const found = foundText(plainValue(map));
    const message = `${what}: found ${found}, allowed: a block with ${Object.keys(section).join(', ')}`;
    reading.faults.push({ where: keyWhere, message });
    return;
  }
  const firstWhere = new Map<string, string>();
  for (const pair of map.items) {
    const name = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
    const where = reading.whereOf(pair.key);
    const earlier = firstWhere.get(name);
    if (earlier !== undefined) {
      const line = earlier.slice(earlier.lastIndexOf(':') + 1);
      reading.faults.push({
        where,
        message: `${prefix}${name} is set a second time; the first is in line ${line}`,
      });
      continue;
    }
    firstWhere.set(name, where);
    readPair(pair, name, where, section, prefix, reading);
  }
}

function readPair(
  pair: Pair,
  name: string,
  where: string,
  section: Section,
  prefix: string,
  reading: Reading,
): void {
  const node = Object.hasOwn(section, name) ? section[name] : undefined;
  const path = prefix + name;
  if (node === undefined) {
    reading.faults.push({ where, message: unknownKeyMessage(name, section, prefix, reading.paths) });
    return;
  }
  if (!isSetting(node)) {
    readSection(pair.value, node, `${path}.`, where, reading);
    return;
  }
  const { value } = pair;
  const written = plainValue(value);
  // A key without a value is the default, as config/berth.yaml shows them.
  if (written === null || written === undefined) return;
  const itemsWhere = isSeq(value) ? value.items.map((item) => reading.whereOf(item)) : undefined;
  reading.entries.push({ path, written, where, ...(itemsWhere && { itemsWhere }) });
}

/** The plain value of a node, one level deep: no setting has lists or blocks inside a list. */
function plainValue(node: unknown): unknown {
  if (isScalar(node)) return node.value;
  if (isSeq(node)) return node.items.map((item) => (isScalar(item) ? item.value : isSeq(item) ? [] : {}));
  return isMap(node) ? {} : node;
}

function unknownKeyMessage(name: string, section: Section, prefix: string, paths: readonly string[]): string {
  const siblings = Object.keys(section);
  const path = prefix + name;
  if (paths.includes(path)) {
    const names = path.split('.');
    return `${path}: write it as blocks, not with dots: ${names.join(': {')}: ...${'}'.repeat(names.length - 1)}`;
  }
  const near = findClosest(name, siblings);
  const meant = near === undefined ? findElsewhere(name, path, paths) : prefix + near;
  const hint = meant === undefined ? `known here: ${siblings.join(', ')}` : `did you mean ${meant}?`;
  return `unknown setting ${path}; ${hint}`;
}

/** A setting of the same name in another section (`port` at the top for `http.port`), or a path spelled nearly so. */
function findElsewhere(name: string, path: string, paths: readonly string[]): string | undefined {
  const lower = name.toLowerCase();
  return paths.find((one) => one.toLowerCase().endsWith(`.${lower}`)) ?? findClosest(path, paths);
}
