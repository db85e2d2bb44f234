// `berth protect`: tags that nobody moves or deletes by mistake, and who may all the same.
import { type Command, Option } from 'commander';
import { parseSubject } from '../../auth/account-name.ts';
import { namespaceOfPattern, parsePattern } from '../../auth/pattern.ts';
import { compileTagGlob, InvalidGlobError } from '../../oci/tag-glob.ts';
import {
  allAdministrators,
  type ProtectionKind,
  type ProtectionRule,
  protectionKinds,
  registryRules,
} from '../../storage/protection-store.ts';
import { path } from '../client/api.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm } from '../output/ask.ts';
import { printJson, printList } from '../output/print.ts';
import { countText } from '../output/text.ts';
import { addGroup, type Call, define } from './define.ts';

interface Place {
  readonly namespace?: string;
}

interface AddOptions extends Place {
  readonly tags: string;
  readonly rule: ProtectionKind;
  readonly exempt?: readonly string[];
}

interface RemoveOptions extends Place {
  readonly tags: string;
  readonly rule?: ProtectionKind;
}

/** A set as the API has it. */
interface RuleSet {
  readonly items: readonly Shown[];
  readonly inherited: readonly Shown[];
}
type Shown = Omit<ProtectionRule, 'exempt'> & { readonly exempt?: readonly string[] };

/** What a change of a set would do. */
interface Plan {
  /** Left out where there are too many to count. */
  readonly tags?: { readonly becomeProtected: number; readonly loseProtection: number };
}

const words = `OBJECT  a pattern of full repository names: acme/web, acme/web-*, acme/** (all below), ** (the registry)
TAGS    a glob of the whole tag: 'v*', 'release-?', '[0-9]*', '{stable,v*}'
RULE    create-only (not moved while it is there), no-delete (neither it nor its manifest is deleted), immutable (both)
Rules bind administrators too: whoever is meant to get by is exempted, or the rule is removed first.`;

const tagsOption = () => new Option('--tags <glob>', 'which tags').makeOptionMandatory();
const ruleOption = () => new Option('--rule <rule>', 'what is refused').choices([...protectionKinds]);
const namespaceOption = () =>
  new Option(
    '--namespace <namespace>',
    'whose rule it is, where the object does not tell: system is the registry',
  );

export function addProtect(program: Command, context: CommandContext): void {
  const group = addGroup(program, 'protect', 'keep tags from being moved or deleted', [
    "protect add 'acme/**' --tags 'v*' --rule immutable",
    'protect list acme',
  ]);
  define<AddOptions>(group, context, {
    usage: 'add <object>',
    about: 'add a rule; tags that are there already are protected as they are',
    notes: words,
    examples: [
      "protect add 'acme/**' --tags 'v*' --rule immutable --exempt acme+release",
      'protect add acme/web --tags latest --rule no-delete',
      "protect add '**' --tags '*-lts' --rule immutable --exempt administrators",
    ],
    options: (command) =>
      command
        .addOption(tagsOption())
        .addOption(ruleOption().makeOptionMandatory())
        .option('--exempt <subjects...>', 'alice, acme+ci, team:acme/dev, administrators')
        .addOption(namespaceOption()),
    changesMany: true,
    referenceAt: 0,
    check: ([object = ''], { tags, exempt = [] }) => {
      parsePattern(object);
      checkTags(tags);
      for (const name of exempt) if (name !== allAdministrators) parseSubject(name);
    },
    run: add,
  });
  define<Place>(group, context, {
    usage: 'list [namespace]',
    about: 'the rules of a namespace and those that it inherits; without one, those of the registry',
    examples: ['protect list acme', 'protect list'],
    prints: 'list',
    quiet: 'object and tags alone',
    referenceAt: 0,
    run: list,
  });
  define<RemoveOptions>(group, context, {
    usage: 'remove <object>',
    about: 'remove the rules for these tags of an object',
    examples: ["protect remove 'acme/**' --tags 'v*'"],
    options: (command) =>
      command.addOption(tagsOption()).addOption(ruleOption()).addOption(namespaceOption()),
    deletes: true,
    referenceAt: 0,
    check: ([object = '']) => void parsePattern(object),
    run: remove,
  });
}

function checkTags(tags: string): void {
  try {
    compileTagGlob(tags);
  } catch (error) {
    if (!(error instanceof InvalidGlobError)) throw error;
    throw new CommandError(exitCodes.wrongUsage, `--tags: ${error.message}`);
  }
}

/** Whose rules an object's are, and how the object is written there. */
function placeOf(object: string, { namespace }: Place) {
  const own = namespaceOfPattern(object) ?? registryRules;
  const whose = namespace ?? own;
  return {
    where: path`namespaces/${whose}/protection-rules`,
    repositories: object === `${whose}/**` ? '**' : object,
    whose,
  };
}

async function add({ api, args: [object = ''], options, context }: Call<AddOptions>): Promise<void> {
  const { where, repositories, whose } = placeOf(object, options);
  const { tags, rule, exempt = [] } = options;
  const added = { repositories, tags, rule, exempt };
  const change = ({ items }: RuleSet) => ({
    // The same rule again: whom it exempts is replaced.
    items: [...items.filter((one) => !isSame(one, added, whose)), added],
  });
  const but = exempt.length === 0 ? '' : `, but for ${exempt.join(', ')}`;
  if (options.dryRun) {
    const plan = await api.replace<RuleSet, Plan>(where, change, { dryRun: true });
    context.stdout.write(`tags ${tags} of ${object} would be ${rule}${but}${reachText(plan)}\n`);
    return;
  }
  await api.replace<RuleSet, RuleSet>(where, change);
  context.stdout.write(`tags ${tags} of ${object} are ${rule} from now on${but}\n`);
}

async function remove({ api, args: [object = ''], options, context }: Call<RemoveOptions>): Promise<void> {
  const { where, whose } = placeOf(object, options);
  const { tags, rule } = options;
  const goes = (one: Shown): boolean =>
    isSame(one, { repositories: object, tags, rule: rule ?? one.rule }, whose);
  const { items } = await api.get<RuleSet>(where);
  const going = items.filter(goes);
  if (going.length === 0) {
    const others = items.map((one) => `${objectOf(one, whose)} ${one.tags}`).join(', ');
    const hint = others === '' ? `${whose} has no rules` : `${whose} has rules for ${others}`;
    throw new CommandError(exitCodes.absent, `there is no rule for tags ${tags} of ${object}: ${hint}`);
  }
  const text = going.map((one) => one.rule).join(', ');
  const change = (set: RuleSet) => ({ items: set.items.filter((one) => !goes(one)) });
  if (options.dryRun) {
    const plan = await api.replace<RuleSet, Plan>(where, change, { dryRun: true });
    context.stdout.write(`${text} of tags ${tags} of ${object} would be removed${reachText(plan)}\n`);
    return;
  }
  await confirm(`Remove ${text} of tags ${tags} of ${object}?`, options, context);
  await api.replace<RuleSet, RuleSet>(where, change);
  context.stdout.write(`${text} of tags ${tags} of ${object} removed\n`);
}

async function list({
  api,
  args: [namespace = registryRules],
  options,
  context,
}: Call<Place>): Promise<void> {
  const set = await api.get<RuleSet>(path`namespaces/${namespace}/protection-rules`);
  if (options.json) {
    printJson(set, context);
    return;
  }
  const rows = [
    ...set.items.map((one) => ({ ...one, from: namespace })),
    ...set.inherited.map((one) => ({ ...one, from: registryRules })),
  ];
  const columns = [
    { head: 'OBJECT', text: (one: (typeof rows)[number]) => objectOf(one, one.from) },
    { head: 'TAGS', text: ({ tags }: Shown) => tags },
    { head: 'RULE', text: ({ rule }: Shown) => rule },
    { head: 'EXEMPT', text: ({ exempt }: Shown) => exempt?.join(', ') ?? '(not told)' },
    {
      head: 'FROM',
      text: ({ from }: (typeof rows)[number]) => (from === registryRules ? 'the registry' : from),
    },
  ];
  const key = (one: (typeof rows)[number]) => `${objectOf(one, one.from)} ${one.tags}`;
  printList(rows, { columns, key, none: 'no rules: no tag is protected' }, options, context);
}

/** How many tags that are there it is about. */
function reachText({ tags }: Plan): string {
  if (tags === undefined) return '';
  const { becomeProtected, loseProtection } = tags;
  if (loseProtection > 0) return `: ${countText(loseProtection, 'tag')} would not be protected any more`;
  return `: ${countText(becomeProtected, 'tag')} would be protected that ${becomeProtected === 1 ? 'is' : 'are'} not now`;
}

/** The pattern of full names that a rule's `repositories` is. */
function objectOf({ repositories }: Pick<Shown, 'repositories'>, namespace: string): string {
  return repositories === '**' && namespace !== registryRules ? `${namespace}/**` : repositories;
}

function isSame(one: Shown, other: Shown, namespace: string): boolean {
  return (
    objectOf(one, namespace) === objectOf(other, namespace) &&
    one.tags === other.tags &&
    one.rule === other.rule
  );
}
