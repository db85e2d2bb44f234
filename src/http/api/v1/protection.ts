// Rules of protection: which tags of a namespace are not moved or not deleted, and by whom all the same.
import { type Static, Type } from 'typebox';
import { InvalidNameError, parseSubject } from '../../../auth/account-name.ts';
import { namespaceOfPattern, parsePattern, wholeRegistry } from '../../../auth/pattern.ts';
import { includesRole } from '../../../auth/roles.ts';
import { compileTagGlob, InvalidGlobError } from '../../../oci/tag-glob.ts';
import {
  allAdministrators,
  type ProtectionRule,
  type ProtectionStore,
  protectionKinds,
  registryRules,
} from '../../../storage/protection-store.ts';
import type { ApiContext } from './context.ts';
import { seesSubject } from './grants.ts';
import { invalidMember, notFound, Problem } from './problem.ts';
import { type Call, found, type Routes } from './route.ts';
import { changesOf, type Reach, reachOf, requireIfMatch } from './rule-sets.ts';
import { strict } from './schemas.ts';

const mostRules = 100;
const mostExempt = 50;

const ruleMembers = {
  repositories: Type.String({
    minLength: 1,
    maxLength: 255,
    description:
      '** is everything in the namespace; else a pattern of full names: acme/web, acme/web-*, acme/team/**.',
  }),
  tags: Type.String({
    minLength: 1,
    maxLength: 300,
    description: 'A glob of the whole tag: * any characters, ? one, [a-z] one of these, {a,b} either.',
  }),
  rule: Type.Enum([...protectionKinds], {
    description:
      'create-only: not moved while it is there; no-delete: neither it nor its manifest is deleted; immutable: both.',
  }),
};
const exempt = Type.Array(Type.String({ minLength: 1, maxLength: 200 }), {
  maxItems: mostExempt,
  description: 'Whom it does not bind: alice, acme+ci, team:acme/dev, administrators.',
});
const ruleToSet = strict({ ...ruleMembers, exempt: Type.Optional(exempt) });
const ruleShown = strict({
  ...ruleMembers,
  exempt: Type.Optional(
    Type.Array(Type.String(), { description: 'Of those who may change the rule, to whom alone it is told.' }),
  ),
});
const ruleSet = strict({
  items: Type.Array(ruleShown, { description: 'The rules of the namespace, in their order.' }),
  inherited: Type.Array(ruleShown, {
    description: 'Those of the registry, which hold beside them: the rules of the namespace system.',
  }),
});
const planSchema = strict({
  dryRun: Type.Literal(true),
  ...ruleSet.properties,
  added: Type.Array(ruleShown),
  removed: Type.Array(ruleShown),
  tags: Type.Optional(
    strict(
      { becomeProtected: Type.Integer(), loseProtection: Type.Integer() },
      'Of those that are there: how many some rule would hold for and none does now, and the other way round. Left out where ' +
        'more than some thousands would have to be looked at.',
    ),
  ),
});
type RuleToSet = Static<typeof ruleToSet>;
type InNamespace = Call<{ readonly namespace: string }, unknown, unknown>;

export function protectionRoutes(routes: Routes, context: ApiContext): void {
  const { protection } = context.registry.metadata;

  routes.declare('protection', 'GET', '/namespaces/:namespace/protection-rules', {
    need: ['read'],
    summary: 'Which tags are protected: the rules of the namespace, and those that it inherits.',
    answers: { 200: ruleSet },
    content: true,
    handle: async (call) => {
      const { shown, tagged } = await show(call);
      return found(shown, tagged);
    },
  });

  routes.declare('protection', 'PUT', '/namespaces/:namespace/protection-rules', {
    need: ['maintain'],
    summary:
      'Puts the whole set of a namespace’s rules in place of the one that was read: If-Match is required.',
    description:
      'They hold from the next change of a tag, for administrators too, on every way in which a tag is set or removed. Tags ' +
      'that are there already are protected as they are. The rules of the namespace system hold in the whole registry and ' +
      'are for administrators.',
    body: strict({ items: Type.Array(ruleToSet, { maxItems: mostRules }) }),
    answers: { 200: ruleSet },
    content: true,
    current: async ({ params }) => {
      const items = await protection.list(params.namespace);
      return items && { items };
    },
    plan: async (call) => {
      const { namespace } = call.params;
      const rules = await parseRules(call);
      refuseUnknown(namespace, await protection.judge({ namespace, rules }));
      const before = (await protection.list(namespace)) ?? [];
      const changes = changesOf(before.map(inOrder), rules.map(inOrder));
      const { inherited } = (await show(call)).shown;
      const tags: Reach | undefined = await reachOf(context.registry, { namespace, before, after: rules });
      return { items: rules, inherited, ...changes, ...(tags && { tags }) };
    },
    planned: planSchema,
    handle: async (call) => {
      const { namespace } = call.params;
      const rules = await parseRules(call);
      refuseUnknown(namespace, await protection.set({ namespace, rules, origin: call.origin }));
      const { shown, tagged } = await show(call);
      return found(shown, tagged);
    },
  });

  async function parseRules(call: InNamespace & { readonly body: { readonly items: readonly RuleToSet[] } }) {
    requireIfMatch(call);
    refuseOthersForRegistry(call);
    const rules: ProtectionRule[] = [];
    for (const [index, item] of call.body.items.entries()) {
      rules.push(await parseRule(context, call, item, `/items/${index}`));
    }
    return rules;
  }

  async function show(call: InNamespace) {
    const { namespace } = call.params;
    const own = await protection.list(namespace);
    if (own === undefined) throw notFound(`namespace ${namespace}`);
    const others = namespace === registryRules ? [] : await protection.list(registryRules);
    const items = own.map((rule) => (mayChange(call, namespace) ? rule : withoutExempt(rule)));
    const isOfRegistry = mayChange(call, registryRules);
    const inherited = (others ?? []).map((rule) => (isOfRegistry ? rule : withoutExempt(rule)));
    return { shown: { items, inherited }, tagged: { items: own } };
  }
}

function refuseUnknown(namespace: string, put: Awaited<ReturnType<ProtectionStore['judge']>>): void {
  if (put.outcome === 'unknown-namespace') throw notFound(`namespace ${namespace}`);
  if (put.outcome === 'unknown-subject') throw noSubject('/items', put.subject);
}

/** In whatever order those it exempts were named, it is the same rule. */
function inOrder(rule: ProtectionRule): ProtectionRule {
  return { ...rule, exempt: rule.exempt.toSorted() };
}

/** Whether the caller may change the rules of a namespace; auditors see what those see. */
function mayChange({ request, now }: InNamespace, namespace: string): boolean {
  const { rights } = request;
  if (rights === undefined || rights.registryRole !== 'user') return true;
  return namespace !== registryRules && includesRole(rights.roleOnNamespace(namespace, now), 'maintain');
}

function withoutExempt({ exempt: _exempt, ...rule }: ProtectionRule): Omit<ProtectionRule, 'exempt'> {
  return rule;
}

// Nobody signs in to an open registry; what holds for all of it is for its machine all the same.
function refuseOthersForRegistry({ request, params }: InNamespace): void {
  if (params.namespace !== registryRules || request.rights?.registryRole === 'administrator') return;
  throw new Problem('denied', 'the rules of the registry are for administrators');
}

async function parseRule(
  context: ApiContext,
  call: InNamespace,
  item: RuleToSet,
  pointer: string,
): Promise<ProtectionRule> {
  const { repositories, tags, rule, exempt: names = [] } = item;
  assertPatternIn(call.params.namespace, repositories, `${pointer}/repositories`);
  try {
    compileTagGlob(tags);
  } catch (error) {
    if (!(error instanceof InvalidGlobError)) throw error;
    throw invalidMember(`${pointer}/tags`, error.message);
  }
  const subjects: string[] = [];
  for (const [index, name] of names.entries()) {
    subjects.push(await parseExempt(context, call, name, `${pointer}/exempt/${index}`));
  }
  return { repositories, tags, rule, exempt: [...new Set(subjects)] };
}

/** Holds the `repositories` of a rule to its namespace. Throws the invalid Problem. */
export function assertPatternIn(namespace: string, text: string, pointer: string): void {
  if (text === wholeRegistry) return;
  let found: string | undefined;
  try {
    found = namespaceOfPattern(parsePattern(text));
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    throw invalidMember(pointer, error.message);
  }
  if (namespace === registryRules || found === namespace) return;
  const hint = text.includes('/') ? '' : `; write ${namespace}/${text} for the repository in ${namespace}`;
  throw invalidMember(pointer, `${text} is not in the namespace ${namespace}${hint}`);
}

async function parseExempt(
  context: ApiContext,
  call: InNamespace,
  text: string,
  pointer: string,
): Promise<string> {
  if (text === allAdministrators) return text;
  let name: string;
  try {
    const subject = parseSubject(text);
    if (subject.kind === 'anonymous' || subject.kind === 'authenticated') {
      throw invalidMember(pointer, `${text} is everybody: then there is no need of a rule`);
    }
    name = subject.kind === 'team' ? `team:${subject.name}` : subject.name;
    const isSeen = call.request.rights === undefined || (await seesSubject(context, call, subject));
    if (!isSeen) throw noSubject(pointer, name);
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    throw invalidMember(pointer, error.message);
  }
  return name;
}

function noSubject(pointer: string, name: string): Problem {
  return invalidMember(pointer, `there is no ${name} to exempt`);
}
