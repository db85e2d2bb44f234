// The import rules of src/, read from the import specifiers themselves, and a few habits that no linter knows.
// Each test lists every offender, so that one run shows all there is to mend.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { describe, test } from 'node:test';

const root = resolve(import.meta.dirname, '..');

interface Import {
  readonly specifier: string;
  /** `import type` and `export type`: gone at run time. */
  readonly typeOnly: boolean;
}

/**
 * What a source file imports: static imports and re-exports, dynamic imports, and files that it hands to a Worker as a URL.
 * A scan and not a parser (TypeScript 7 has no stable one to offer): statements begin at the start of a line, as Biome
 * formats them, and hold no quote or semicolon before the specifier.
 */
function listImports(source: string): readonly Import[] {
  const forms = [
    /^(?:import|export)\s+(type\s+)?[\w*{][^;'"`]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^import\s*()['"]([^'"]+)['"]/gm,
    /\bimport\s*\(()\s*['"]([^'"]+)['"]/g,
    /\bnew URL\(()\s*['"](\.[^'"]+\.ts)['"]\s*,\s*import\.meta\.url/g,
  ];
  return forms.flatMap((form) =>
    [...source.matchAll(form)].map((match) => ({
      specifier: match[2] ?? '',
      typeOnly: match[1] !== undefined && match[1] !== '',
    })),
  );
}

/** Ways to load code that listImports cannot see through. */
const hiddenImport = /\bimport\s*\(\s*[^'"\s]|\bcreateRequire\b|\brequire\s*\(|\bimport\.meta\.resolve\b/;

interface SourceFile {
  /** Relative to the repository, with forward slashes: src/oci/name.ts. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const sources: readonly SourceFile[] = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .sort()
  .map((name) => {
    const path = join('src', name).replaceAll('\\', '/');
    const text = readFileSync(join(root, path), 'utf8');
    return { path, text, imports: listImports(text) };
  });

interface Edge extends Import {
  readonly from: string;
  readonly to: string;
}

const relativeEdges: readonly Edge[] = sources.flatMap(({ path, imports }) =>
  imports
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map((found) => ({
      ...found,
      from: path,
      to: join(dirname(path), found.specifier).replaceAll('\\', '/'),
    })),
);
const packageImports = sources.flatMap(({ path, imports }) =>
  imports.filter(({ specifier }) => !specifier.startsWith('.')).map((found) => ({ ...found, from: path })),
);

/** The part of src/ that a file belongs to: a folder, a driver, or a file of the top level. */
function zoneOf(path: string): string {
  const [, first = '', second = ''] = path.split('/');
  if (first === 'storage' && (second === 'disk' || second === 'sqlite')) return `storage/${second}`;
  return first;
}

const belowHttp = [
  'samples.ts',
  'places.ts',
  'backup',
  'import',
  'inspection',
  'webhooks',
  'registry',
  'auth',
  'config',
  'storage',
  'oci',
];
const belowMain = ['app.ts', 'version.ts', 'http', ...belowHttp, 'storage/disk', 'storage/sqlite'];

/** Who may import whom; every zone may import itself. Drivers are imported by those who construct them alone. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  oci: [],
  'version.ts': [],
  'samples.ts': [],
  'places.ts': [],
  storage: ['oci'],
  'storage/disk': ['storage', 'oci'],
  'storage/sqlite': ['storage', 'oci'],
  registry: ['storage', 'oci'],
  auth: ['config', 'storage', 'oci'],
  backup: ['registry', 'storage', 'oci'],
  import: ['places.ts', 'registry', 'storage', 'oci'],
  inspection: ['places.ts', 'registry', 'storage', 'oci'],
  config: ['storage', 'oci'],
  webhooks: ['places.ts', 'auth', 'storage', 'oci'],
  http: belowHttp,
  'app.ts': ['http', ...belowHttp],
  cli: belowMain,
  'main.ts': ['cli', ...belowMain],
};

/** One way round for each cycle that a depth-first walk meets. */
function findCycles(edges: readonly Edge[]): readonly string[] {
  const targets = new Map<string, readonly string[]>();
  for (const { from, to } of edges) targets.set(from, [...(targets.get(from) ?? []), to]);
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, way: readonly string[]) => {
    const met = way.indexOf(file);
    if (met >= 0) cycles.push([...way.slice(met), file].join(' → '));
    if (met >= 0 || done.has(file)) return;
    for (const target of targets.get(file) ?? []) walk(target, [...way, file]);
    done.add(file);
  };
  for (const file of targets.keys()) walk(file, []);
  return cycles;
}

function assertNone(offenders: readonly string[], rule: string): void {
  assert.equal(offenders.length, 0, `${rule}:\n  ${offenders.join('\n  ')}`);
}

function arrow(edge: Edge): string {
  return `${edge.from} → ${edge.to}`;
}

describe('who imports whom', () => {
  test('the scan sees every form of import', () => {
    const source = [
      "import a from 'p1';",
      "import { b,\n  type C } from 'p2';",
      "import type { D } from 'p3';",
      "import * as e from 'p4';",
      "import 'p5';",
      "export { f } from 'p6';",
      "export * from 'p7';",
      "export type { G } from 'p8';",
      "const h = await import('p9');",
      "new Worker(new URL('./p10.ts', import.meta.url));",
      "export const text = 'from';",
      "// import { no } from 'comment';",
    ].join('\n');
    const found = listImports(source);
    assert.deepEqual(found.map(({ specifier }) => specifier).sort(), [
      './p10.ts',
      'p1',
      'p2',
      'p3',
      'p4',
      'p5',
      'p6',
      'p7',
      'p8',
      'p9',
    ]);
    assert.deepEqual(
      found.filter(({ typeOnly }) => typeOnly).map(({ specifier }) => specifier),
      ['p3', 'p8'],
    );
    for (const hidden of [
      'import(name)',
      'import(`./x`)',
      "require('x')",
      'createRequire(import.meta.url)',
    ]) {
      assert.match(hidden, hiddenImport);
    }
  });

  test('there is source to read, and each relative import names a file that exists', () => {
    assert.ok(sources.length > 10 && relativeEdges.length > 10);
    assertNone(
      relativeEdges.filter((edge) => !existsSync(join(root, edge.to))).map(arrow),
      'these name no file',
    );
    assertNone(
      sources.filter(({ text }) => hiddenImport.test(text)).map(({ path }) => path),
      'these load code in a way that this test cannot follow',
    );
  });

  test('each zone imports only what lies below it', () => {
    const offenders = relativeEdges.filter(({ from, to }) => {
      if (to === 'package.json') return false;
      const zone = zoneOf(from);
      return zoneOf(to) !== zone && mayImport[zone]?.includes(zoneOf(to)) !== true;
    });
    assertNone(offenders.map(arrow), 'the tables of mayImport do not allow');
    const unknown = sources.filter(({ path }) => mayImport[zoneOf(path)] === undefined);
    assertNone(
      unknown.map(({ path }) => path),
      'these belong to no zone of mayImport',
    );
  });

  // auth is put together from a dozen settings, and handing each over by itself would only repeat their shape.
  test('http and auth know the shape of the configuration, not how it is loaded', () => {
    const offenders = relativeEdges.filter(
      (edge) =>
        ['http', 'auth'].includes(zoneOf(edge.from)) &&
        zoneOf(edge.to) === 'config' &&
        !(edge.typeOnly && edge.to === 'src/config/config.ts'),
    );
    assertNone(offenders.map(arrow), 'only `import type` of src/config/config.ts');
  });

  test('no file imports itself by any way round', () => {
    assertNone(findCycles(relativeEdges), 'import cycles');
    const edge = (from: string, to: string) => ({ from, to, specifier: to, typeOnly: false });
    assert.deepEqual(findCycles([edge('a', 'b'), edge('b', 'c'), edge('c', 'b')]), ['b → c → b']);
  });
});

describe('packages', () => {
  const onlyIn = (pattern: RegExp, allowed: (path: string) => boolean, rule: string) =>
    assertNone(
      packageImports
        .filter(({ from, specifier }) => pattern.test(specifier) && !allowed(from))
        .map(({ from, specifier }) => `${from} imports ${specifier}`),
      rule,
    );

  test('Fastify is named only in http, app.ts, main.ts and cli', () => {
    const allowed = ['http', 'app.ts', 'main.ts', 'cli'];
    onlyIn(/^@?fastify\b/, (path) => allowed.includes(zoneOf(path)), 'Fastify elsewhere');
  });

  test('better-sqlite3 is named only in its driver', () => {
    onlyIn(/^better-sqlite3\b/, (path) => zoneOf(path) === 'storage/sqlite', 'better-sqlite3 elsewhere');
  });

  test('the specification needs no package, and no input or output', () => {
    const offenders = packageImports.filter(
      ({ from, specifier }) => zoneOf(from) === 'oci' && !/^node:(?:buffer|crypto)$/.test(specifier),
    );
    assertNone(
      offenders.map(({ from, specifier }) => `${from} imports ${specifier}`),
      'oci is pure',
    );
  });

  test('src needs nothing that an installation without devDependencies lacks', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    const missing = packageImports.filter(({ specifier, typeOnly }) => {
      if (specifier.startsWith('node:') || typeOnly) return false;
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
      return builtinModules.includes(name) || !Object.hasOwn(dependencies, name);
    });
    assertNone(
      missing.map(({ from, specifier }) => `${from} imports ${specifier}`),
      'not in dependencies, or a built-in without node:',
    );
  });
});

describe('habits', () => {
  const pathsWhere = (offends: (source: SourceFile) => boolean) =>
    sources.filter(offends).map(({ path }) => path);

  test('the environment is read by main.ts alone', () => {
    const reads =
      /\bprocess\s*\??\.\s*env\b|\bprocess\s*(?:\?\.)?\[\s*['"`]env|\benv\b[^;]*\bfrom\s*['"](?:node:)?process['"]/;
    for (const text of ['process.env.HOME', "process['env']", "import { env } from 'node:process';"]) {
      assert.match(text, reads);
    }
    assertNone(
      pathsWhere(({ path, text }) => path !== 'src/main.ts' && reads.test(text)),
      'these mention the environment',
    );
  });

  test('every file of src opens with what it is responsible for', () => {
    assertNone(
      pathsWhere(({ text }) => !/^(?:#!.*\n)?\/\/ \S/.test(text)),
      'these open without a comment',
    );
  });

  test('files stay short, and exports have names', () => {
    assertNone(
      pathsWhere(({ text }) => text.split('\n').length > 401),
      'longer than 400 lines',
    );
    assertNone(
      pathsWhere(({ text }) => /^export default\b/m.test(text)),
      'a default export',
    );
  });

  test('nothing refers to papers that a user of the repository does not have', () => {
    // Put together here, so that this file does not hold what it looks for.
    const papers = new RegExp(`(?:\\.\\.?|/work)/(?:${['shared', '\\.library'].join('|')})(?![\\w-])`);
    assert.match(['..', 'shared/design.md'].join('/'), papers);
    const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: root,
    });
    const files = listed.toString('utf8').split('\0');
    const offenders = files.filter((file) => {
      const path = join(root, file);
      return (
        file !== '' &&
        statSync(path, { throwIfNoEntry: false })?.isFile() &&
        papers.test(readFileSync(path, 'latin1'))
      );
    });
    assertNone(offenders, 'these mention them');
  });
});
