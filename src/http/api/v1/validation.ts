// Checks what a request carries against the schemas of its route, and says of each fault where it is and what is allowed.
import type { FastifySchemaCompiler, preValidationHookHandler } from 'fastify';
import type { TSchema } from 'typebox';
import type { Validator } from 'typebox/compile';
import { type MemberFault, Problem } from './problem.ts';

// Half of typebox, loaded with the first request that is checked: many a registry is never asked through its management API.
let compiler: typeof import('typebox/compile') | undefined;

/** Has to run in front of the validators of a request. */
export const loadValidation: preValidationHookHandler = (_request, _reply, done) => {
  if (compiler !== undefined) return done();
  import('typebox/compile').then((loaded) => {
    compiler = loaded;
    done();
  }, done);
};

function compile(schema: TSchema): Validator {
  if (compiler === undefined) throw new Error('a request is checked before the validation was loaded');
  return compiler.Compile(schema);
}

/** How many faults an answer lists; a body can hold thousands. */
const mostFaults = 20;

interface Finding {
  readonly keyword: string;
  readonly schemaPath: string;
  readonly instancePath: string;
  readonly params: object;
  readonly message: string;
}

/**
 * The validator of the API's context. Query and path values are text, and become numbers and booleans where the schema wants
 * them; bodies are taken as they are. Nothing is removed and nothing gets a default here.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  // Compiled for the first request: a start would wait for the validators of all endpoints.
  let compiled: Validator | undefined;
  const prefix = httpPart === 'body' ? '' : `/${httpPart === 'querystring' ? 'query' : httpPart}`;
  return (value: unknown) => {
    const converted = httpPart === 'body' ? value : readTexts(schema, value);
    compiled ??= compile(schema);
    const validator = compiled;
    if (validator.Check(converted)) return { value: converted };
    const faults = faultsOf(validator.Errors(converted), schema, prefix);
    return { error: new Problem('invalid', summaryOf(faults), { errors: faults.slice(0, mostFaults) }) };
  };
};

// Only what is plainly meant becomes a number or a boolean; all else stays text, and is found fault with.
function readTexts(schema: TSchema, value: unknown): unknown {
  const properties = (schema as { properties?: Record<string, { type?: unknown }> }).properties ?? {};
  const read = Object.entries(value as Record<string, unknown>).map(([name, text]) => {
    const type = Object.hasOwn(properties, name) ? properties[name]?.type : undefined;
    if (type === 'integer' && typeof text === 'string' && /^-?\d{1,15}$/.test(text))
      return [name, Number(text)];
    if (type === 'boolean' && (text === 'true' || text === 'false')) return [name, text === 'true'];
    return [name, text];
  });
  return Object.fromEntries(read);
}

function summaryOf(faults: readonly MemberFault[]): string {
  const [first] = faults;
  if (first === undefined) return 'the request does not fit this endpoint';
  const where = first.pointer === '' ? 'the body' : first.pointer.replace(/^\/(?:query|params)/, '').slice(1);
  return `${where}: ${first.detail}`;
}

// Of a union (keyword anyOf) each branch reports too. Where one alone is meant (an object, or null), it says what is wrong inside;
// else only the union itself can say what is allowed.
function faultsOf(findings: readonly Finding[], schema: TSchema, prefix: string): MemberFault[] {
  const hidden = new Set<Finding>();
  for (const union of findings.filter(({ keyword }) => keyword === 'anyOf')) {
    const branches = branchFindings(findings, union);
    const meant = branches.filter((branch) => !branch.some((finding) => isOtherThing(finding, union)));
    const [only] = meant.length === 1 ? meant : [];
    if (only !== undefined) hidden.add(union);
    for (const finding of branches.filter((branch) => branch !== only).flat()) hidden.add(finding);
  }
  return findings
    .filter((finding) => finding.keyword !== 'boolean' && !hidden.has(finding))
    .flatMap((finding) => faultsOfOne(finding, schema, prefix));
}

function branchFindings(findings: readonly Finding[], union: Finding): Finding[][] {
  const start = `${union.schemaPath}/anyOf/`;
  const branches = new Map<string, Finding[]>();
  for (const finding of findings) {
    const { schemaPath, instancePath } = finding;
    if (!schemaPath.startsWith(start) || !instancePath.startsWith(union.instancePath)) continue;
    const branch = schemaPath.slice(start.length).split('/')[0] ?? '';
    branches.set(branch, [...(branches.get(branch) ?? []), finding]);
  }
  return [...branches.values()];
}

/** Whether the value is nothing that the branch is for, and not only a bad one of its kind. */
function isOtherThing({ keyword, instancePath }: Finding, union: Finding): boolean {
  return instancePath === union.instancePath && ['type', 'enum', 'const'].includes(keyword);
}

function faultsOfOne(finding: Finding, schema: TSchema, prefix: string): MemberFault[] {
  const base = prefix + finding.instancePath;
  const params = finding.params as Record<string, unknown>;
  if (finding.keyword === 'additionalProperties') {
    const known = membersOf(nodeAt(schema, finding.schemaPath));
    const allowed = known.length === 0 ? 'nothing is taken here' : `allowed: ${known.join(', ')}`;
    return namesOf(params.additionalProperties).map((name) => ({
      pointer: `${base}/${escapePointer(name.slice(0, 100))}`,
      detail: `this is not known; ${allowed}`,
    }));
  }
  if (finding.keyword === 'required') {
    return namesOf(params.requiredProperties).map((name) => ({
      pointer: `${base}/${escapePointer(name)}`,
      detail: 'this is missing',
    }));
  }
  return [{ pointer: base, detail: sentenceOf(finding, schema) }];
}

function sentenceOf({ keyword, message, params, schemaPath }: Finding, schema: TSchema): string {
  const node = nodeAt(schema, schemaPath);
  if (keyword === 'enum')
    return `use one of: ${(params as { allowedValues: unknown[] }).allowedValues.join(', ')}`;
  if (keyword === 'anyOf') return `use ${branchesOf(node).join(', or ')}`;
  if (keyword === 'pattern' && typeof node.description === 'string') return `use ${node.description}`;
  return message;
}

function branchesOf({ anyOf }: Record<string, unknown>): string[] {
  return (Array.isArray(anyOf) ? (anyOf as Record<string, unknown>[]) : []).map((branch) => {
    if (Array.isArray(branch.enum)) return `one of ${branch.enum.join(', ')}`;
    return String(branch.description ?? branch.type);
  });
}

function namesOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function membersOf(node: Record<string, unknown>): string[] {
  return typeof node.properties === 'object' && node.properties !== null ? Object.keys(node.properties) : [];
}

// `#/properties/role/anyOf/0` walks from the root of the schema.
function nodeAt(schema: TSchema, path: string): Record<string, unknown> {
  let node: unknown = schema;
  for (const part of path.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    node = typeof node === 'object' && node !== null ? (node as Record<string, unknown>)[name] : undefined;
  }
  return (typeof node === 'object' && node !== null ? node : {}) as Record<string, unknown>;
}

function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
