// The description of the management API as one static page, written by the server from the OpenAPI document itself. A viewer such
// as Swagger UI is megabytes of script that would need a policy with holes; this needs no script at all and works offline.
import { createHash } from 'node:crypto';

/** A description as far as the page reads it. */
export interface ApiDocument {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, ApiOperation>>>>;
}

export interface ApiOperation {
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema?: unknown;
  }[];
  readonly requestBody?: { readonly content?: Contents };
  readonly responses?: Readonly<Record<string, { readonly content?: Contents }>>;
}

/** By media type. */
type Contents = Readonly<Record<string, { readonly schema?: unknown }>>;

/** How OpenAPI calls the answer with every other status. */
const refusal = 'default';

const style = `body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #d5dce5;text-transform:capitalize}
details{border:1px solid #d5dce5;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}summary{cursor:pointer}
code,pre{font:13px/1.5 ui-monospace,monospace}pre{background:#f1f4f8;padding:.6rem .8rem;border-radius:6px;overflow-x:auto}
.method{display:inline-block;min-width:4.2rem;font-weight:600}.about{color:#5b6776}nav a{margin-right:.8rem}a{color:#0b5cad}
table{border-collapse:collapse}td,th{text-align:left;padding:.1rem .8rem .1rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#dfe5ec;background:#12161c}details,h2{border-color:#323c48}pre{background:#1d242d}.about{color:#94a1b0}a{color:#7db7f0}}`;

/** The Content-Security-Policy of the page: its one style sheet and nothing else. */
export const pagePolicy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`;

interface Listed {
  readonly method: string;
  readonly path: string;
  readonly operation: ApiOperation;
}

export function documentPage(document: ApiDocument): string {
  const groups = groupByTag(document);
  const { title, version, description = '' } = document.info;
  const links = [...groups.keys(), 'refusals']
    .map((tag) => `<a href="#${escapeHtml(tag)}">${escapeHtml(tag)}</a>`)
    .join('');
  const sections = [...groups].map(
    ([tag, listed]) =>
      `<h2 id="${escapeHtml(tag)}">${escapeHtml(tag)}</h2>\n${listed.map(operationHtml).join('\n')}`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title>
<style>${style}</style></head>
<body><h1>${escapeHtml(title)} <small>${escapeHtml(version)}</small></h1>
<p>${escapeHtml(description)}</p>
<p>For programs: <a href="openapi.json">openapi.json</a>.</p>
<nav>${links}</nav>
${sections.join('\n')}
<h2 id="refusals">refusals</h2>
<p>Every endpoint refuses with${schemasHtml(refusalOf(document))}</p>
</body></html>
`;
}

/** The same everywhere, so it stands on the page once. */
function refusalOf({ paths }: ApiDocument): Contents | undefined {
  const [first] = Object.values(paths).flatMap((operations) => Object.values(operations));
  return first?.responses?.[refusal]?.content;
}

function groupByTag({ paths }: ApiDocument): ReadonlyMap<string, readonly Listed[]> {
  const groups = new Map<string, Listed[]>();
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] ?? 'other';
      groups.set(tag, [...(groups.get(tag) ?? []), { method: method.toUpperCase(), path, operation }]);
    }
  }
  return groups;
}

function operationHtml({ method, path, operation }: Listed): string {
  const about = (operation.description ?? '').split('\n\n').map((part) => `<p>${escapeHtml(part)}</p>`);
  const answers = Object.entries(operation.responses ?? {})
    .filter(([status]) => status !== refusal)
    .map(([status, { content }]) => `<p>Answers ${escapeHtml(status)}${schemasHtml(content)}</p>`);
  return `<details><summary><span class="method">${method}</span> <code>${escapeHtml(path)}</code> <span class="about">${escapeHtml(operation.summary ?? '')}</span></summary>
${about.join('')}${parametersHtml(operation)}${operation.requestBody === undefined ? '' : `<p>Takes${schemasHtml(operation.requestBody.content)}</p>`}${answers.join('')}</details>`;
}

function parametersHtml({ parameters = [] }: ApiOperation): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map(({ name, in: where, required, description, schema }) => {
    const text = description ?? (schema as { description?: string } | undefined)?.description ?? '';
    return `<tr><td><code>${escapeHtml(name)}</code></td><td>${escapeHtml(where)}${required ? ', required' : ''}</td><td>${escapeHtml(text)}</td></tr>`;
  });
  return `<table>${rows.join('')}</table>`;
}

function schemasHtml(content: Contents | undefined): string {
  return Object.entries(content ?? {})
    .map(([type, { schema }]) => ` ${escapeHtml(type)}<pre>${escapeHtml(shapeOf(schema, 0))}</pre>`)
    .join('');
}

interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly description?: string;
}

// A schema as a person would write the object down.
function shapeOf(schema: unknown, depth: number): string {
  const { type, enum: words, anyOf, items, properties, required = [] } = (schema ?? {}) as Schema;
  if (words !== undefined) return words.map((word) => JSON.stringify(word)).join(' | ');
  if (anyOf !== undefined) return anyOf.map((one) => shapeOf(one, depth)).join(' | ');
  if (items !== undefined) return `[${shapeOf(items, depth)}]`;
  if (properties === undefined) return typeof type === 'string' ? type : 'anything';
  const indent = '  '.repeat(depth + 1);
  const lines = Object.entries(properties).map(([name, member]) => {
    const mark = required.includes(name) ? '' : '?';
    const about = member.description === undefined ? '' : `  // ${member.description}`;
    return `${indent}${name}${mark}: ${shapeOf(member, depth + 1)}${about}`;
  });
  return lines.length === 0 ? '{}' : `{\n${lines.join('\n')}\n${'  '.repeat(depth)}}`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
