// The rules of retention of a namespace, and what they would do.
import { setImmediate as turn } from 'node:timers/promises';
import { type Static, Type } from 'typebox';
import { namespaceOf, parseRepositoryName, type RepositoryName } from '../../../oci/name.ts';
import {
  itemOf,
  ReportMaker,
  type RepositoryResult,
  type RetentionItem,
} from '../../../registry/retention.ts';
import type { CompiledRules, RetentionRules } from '../../../registry/retention-rules.ts';
import type { ApiContext } from './context.ts';
import { afterName, pageMembers, writeCursor, wrongCursor } from './pages.ts';
import { invalidMember, notFound, parseMember } from './problem.ts';
import { assertPatternIn } from './protection.ts';
import { basePath, type Call, found, type Routes } from './route.ts';
import { changesOf, requireIfMatch } from './rule-sets.ts';
import { nullable, strict } from './schemas.ts';

const count = (what: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: what }));
const duration = (what: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 40, description: `${what}: 720h, 1h30m, 30d.` }));
const keepTags = strict({
  patterns: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 300 }), {
      maxItems: 50,
      description: 'Regular expressions as Go has them, found anywhere in the tag; none: every tag.',
    }),
  ),
  mostRecentlyPushedCount: count('So many that were set last.'),
  mostRecentlyPulledCount: count('So many that were pulled last.'),
  highestSemverCount: count('So many highest versions.'),
  semverPrereleases: Type.Optional(Type.Boolean({ description: 'Prereleases count among those versions.' })),
  pushedWithin: duration('Those that were set within'),
  pulledWithin: duration('Those that were pulled or set within'),
});
const policy = strict({
  repositories: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
      maxItems: 100,
      description: '** is everything in the namespace, as if left out; else patterns of full names.',
    }),
  ),
  deleteReferrers: Type.Optional(
    Type.Boolean({
      description: 'Signatures, SBOMs and the like go with what they belong to. Default: false.',
    }),
  ),
  deleteUntagged: Type.Optional(
    Type.Boolean({ description: 'Manifests without a tag that no index lists go. Default: false.' }),
  ),
  keepTags: Type.Optional(
    Type.Array(keepTags, { maxItems: 50, description: 'Which tags are kept; left out or empty: all.' }),
  ),
});
const rulesMembers = {
  dryRun: Type.Optional(Type.Boolean({ description: 'Runs only tell what they would do.' })),
  delay: duration('Nothing goes that was pushed or set within'),
  policies: Type.Array(policy, {
    maxItems: 100,
    description: 'The first that is for a repository holds there; where there is none, nothing is touched.',
  }),
};
const rulesSchema = strict(rulesMembers);
const planSchema = strict({
  dryRun: Type.Literal(true),
  rules: Type.Unsafe<Static<typeof rulesSchema>>({ ...rulesSchema, description: 'As they would stand.' }),
  added: Type.Array(policy, { description: 'Policies that are not there now, as they are.' }),
  removed: Type.Array(policy),
  preview: Type.String({ description: 'POST there, with these rules: what they would remove.' }),
});

export const counts = {
  tags: strict({ removed: Type.Integer(), kept: Type.Integer() }),
  manifests: strict({ removed: Type.Integer() }),
  bytes: Type.Integer({
    description: 'That nothing else in the registry has: they come free after undeleteFor.',
  }),
};
const item = strict({
  repository: Type.String(),
  tag: nullable(Type.String(), 'null: a manifest without a tag.'),
  digest: Type.String(),
  removes: Type.Boolean(),
  because: Type.Array(Type.String(), {
    description: 'All that keep it, or the one thing for which it goes.',
  }),
  rule: nullable(Type.String(), 'The rule of protection that keeps it.'),
});
export const previewSchema = strict({
  totals: nullable(
    strict({ ...counts, repositories: Type.Integer(), reasons: Type.Record(Type.String(), Type.Integer()) }),
    'Of everything that was asked about; null on further pages.',
  ),
  items: Type.Array(item),
  next: nullable(Type.String(), 'The cursor of the next page; null: this is the last.'),
});
const previewRequest = strict({
  rules: Type.Optional(rulesSchema),
  repository: Type.Optional(Type.String({ maxLength: 255, description: 'Only this one.' })),
  only: Type.Optional(Type.Enum(['removed', 'kept'])),
  ...pageMembers,
});
type Preview = Static<typeof previewRequest>;

export function retentionRoutes(routes: Routes, context: ApiContext): void {
  const { retention } = context.registry.metadata;
  const current = async ({ params }: { readonly params: { readonly namespace: string } }) => {
    const known = await retention.findRules(params.namespace);
    return known && ((known.rules ?? { policies: [] }) as Static<typeof rulesSchema>);
  };

  routes.declare('retention', 'GET', '/namespaces/:namespace/retention-rules', {
    need: ['read'],
    summary: 'Which tags of a namespace are kept, and for how long. Without policies everything is.',
    answers: { 200: rulesSchema },
    content: true,
    handle: async (call) => {
      const rules = await current(call);
      if (rules === undefined) throw notFound(`namespace ${call.params.namespace}`);
      return found(rules);
    },
  });

  routes.declare('retention', 'PUT', '/namespaces/:namespace/retention-rules', {
    need: ['maintain'],
    summary: 'Puts the whole set of rules in place of the one that was read: If-Match is required.',
    description:
      'The words are those of zot. They are held to at the times of retention.schedule, and by a run. An empty list of ' +
      'policies takes the rules away.',
    body: rulesSchema,
    answers: { 200: rulesSchema },
    content: true,
    current,
    plan: async (call) => {
      const { params, body } = call;
      requireIfMatch(call);
      await compile(params.namespace, body, '');
      const before = await current(call);
      if (before === undefined) throw notFound(`namespace ${params.namespace}`);
      return {
        rules: body.policies.length === 0 ? { policies: [] } : body,
        ...changesOf(before.policies, body.policies),
        preview: `${basePath}/namespaces/${params.namespace}/retention-preview`,
      };
    },
    planned: planSchema,
    handle: async (call) => {
      const { params, body, origin } = call;
      requireIfMatch(call);
      await compile(params.namespace, body, '');
      const rules = body.policies.length === 0 ? undefined : body;
      if (!(await retention.setRules({ namespace: params.namespace, rules, origin }))) {
        throw notFound(`namespace ${params.namespace}`);
      }
      return found((await current(call)) ?? body);
    },
  });

  routes.declare('retention', 'POST', '/namespaces/:namespace/retention-preview', {
    need: ['maintain'],
    summary: 'What a run would remove now, why everything else stays, and how many bytes it frees.',
    description: 'By the rules that are set, or by those that are sent. Changes nothing.',
    body: previewRequest,
    answers: { 200: previewSchema },
    content: true,
    whileReadOnly: true,
    handle: async (call) => found(await preview(context, call)),
  });
}

/** Compiles rules that came from outside. Throws the invalid Problem, its pointer below `base`. */
async function compile(namespace: string, rules: RetentionRules, base: string): Promise<CompiledRules> {
  const { compileRetention, InvalidRetentionError } = await import('../../../registry/retention-rules.ts');
  for (const [at, { repositories = [] }] of rules.policies.entries()) {
    for (const [index, pattern] of repositories.entries())
      assertPatternIn(namespace, pattern, `${base}/policies/${at}/repositories/${index}`);
  }
  try {
    return compileRetention(namespace, rules);
  } catch (error) {
    if (!(error instanceof InvalidRetentionError)) throw error;
    throw invalidMember(base + error.pointer, error.message);
  }
}

type PreviewCall = Pick<
  Call<{ readonly namespace: string }, unknown, Preview>,
  'params' | 'body' | 'request'
>;

/** What a run would do now: a page of it, and with the first one all of it in figures. */
export async function preview(context: ApiContext, call: PreviewCall) {
  const { namespace } = call.params;
  const { body, request } = call;
  const set = await context.registry.metadata.retention.findRules(namespace);
  if (set === undefined) throw notFound(`namespace ${namespace}`);
  const rules = body.rules ?? ((set.rules ?? { policies: [] }) as RetentionRules);
  const compiled = await compile(namespace, rules, '/rules');
  const limit = body.limit ?? context.config.limits.pageSize;
  const from = readPosition(body);
  const report = new ReportMaker(true);
  const steps = {
    async step() {
      await turn();
      if (request.raw.socket.destroyed) throw new Error('whoever asked for the preview has gone');
    },
  };
  const page = new Page(limit, body.only);
  let repositories = 0;
  for await (const repository of repositoriesOf(context, call, from?.repository)) {
    const result = await context.registry.retention.preview(steps, repository, compiled);
    if (result === undefined) continue;
    repositories += 1;
    report.add(result);
    page.add(result, repository === from?.repository ? from.index : 0);
    // The first page tells of everything; the others only have to be filled.
    if (page.next !== undefined && from !== undefined) break;
  }
  const { tags, manifests, bytes, reasons } = report.finish(0);
  return {
    totals: from === undefined ? { tags, manifests, bytes, repositories, reasons } : null,
    items: page.items,
    next: page.next === undefined ? null : writeCursor(page.next),
  };
}

/** A page of decisions; `next` is where the one after it begins. */
class Page {
  readonly items: RetentionItem[] = [];
  next: string | undefined;
  readonly #limit: number;
  readonly #only: Preview['only'];

  constructor(limit: number, only: Preview['only']) {
    this.#limit = limit;
    this.#only = only;
  }

  add({ repository, decisions }: RepositoryResult, from: number): void {
    for (let index = from; index < decisions.length && this.next === undefined; index++) {
      const decision = decisions[index];
      if (decision === undefined) return;
      if (this.#only !== undefined && decision.removes !== (this.#only === 'removed')) continue;
      if (this.items.length < this.#limit) this.items.push(itemOf(repository, decision));
      else this.next = `${repository} ${index}`;
    }
  }
}

/** The repositories that a preview is about, from where a page begins. */
async function* repositoriesOf(
  { registry }: ApiContext,
  { params, body }: PreviewCall,
  from: RepositoryName | undefined,
): AsyncGenerator<RepositoryName> {
  const { namespace } = params;
  if (body.repository !== undefined) {
    const { repository } = body;
    const name = parseMember('/repository', () => parseRepositoryName(repository));
    assertPatternIn(namespace, name, '/repository');
    if ((await registry.metadata.repositories.find(name))?.live !== true)
      throw notFound(`repository ${name}`);
    yield name;
    return;
  }
  // A cursor is the caller's to write: nothing of another namespace is told by one.
  if (from !== undefined && namespaceOf(from) !== namespace) throw wrongCursor();
  if (from !== undefined) yield from;
  yield* registry.retention.repositories(namespace, from);
}

function readPosition({ cursor }: Preview): { repository: RepositoryName; index: number } | undefined {
  const text = afterName({ ...(cursor === undefined ? {} : { cursor }) });
  if (text === undefined) return undefined;
  const [, name = '', index = ''] = /^(\S+) (\d{1,9})$/.exec(text) ?? [];
  return {
    repository: parseMember('/cursor', () => parseRepositoryName(name)),
    index: Number(index),
  };
}
