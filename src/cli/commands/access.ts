// `berth access`: who may do what where, why, and changing it.
import { type Command, Option } from 'commander';
import { parseSubject } from '../../auth/account-name.ts';
import { everythingIn, namespaceOfPattern, parsePattern } from '../../auth/pattern.ts';
import { roles } from '../../storage/account-store.ts';
import { type Api, path } from '../client/api.ts';
import type { Grant, NamespaceWithUsage } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm } from '../output/ask.ts';
import { parseUntil } from '../output/moments.ts';
import { printJson, printList } from '../output/print.ts';
import { countText, distanceText, momentText } from '../output/text.ts';
import { addGroup, type Call, define } from './define.ts';
import { explain } from './explain.ts';

interface GrantOptions {
  readonly until?: string;
}

const words = `SUBJECT  alice, team:acme/dev, acme+ci, authenticated (everybody who signed in, guests excepted), anonymous
ROLE     read (pull), write (+ push), maintain (+ delete, rules), admin (+ visibility, grants)
OBJECT   a pattern of full repository names: acme/web, acme/web-*, acme/** (all below), ** (the registry)`;

export function addAccess(program: Command, context: CommandContext): void {
  const access = addGroup(program, 'access', 'who may do what where, and why', [
    "access grant team:acme/dev write 'acme/**'",
    'access explain dave acme/web',
    'access list acme',
  ]);
  define<GrantOptions>(access, context, {
    usage: 'grant <subject> <role> <object>',
    about: 'grant a role; a second grant to the same subject on the same object replaces the first',
    notes: words,
    examples: [
      "access grant team:acme/dev write 'acme/**'",
      'access grant kim read acme/web --until 2027-03-31',
      "access grant system+scanner read '**'",
    ],
    options: (command) =>
      command
        .option('--until <when>', 'a date (the end of that day, UTC) or a duration such as 90d')
        .option('-y, --yes', 'do not ask'),
    prints: 'one',
    quiet: 'the id alone',
    referenceAt: 2,
    check: ([subject = '', role = '', object = ''], { until }) => {
      parseSubject(subject);
      parsePattern(object);
      checkRole(role);
      if (until !== undefined) parseUntil(until, '--until');
    },
    run: grant,
  });
  define(access, context, {
    usage: 'revoke <subject> <object>',
    about: 'take a grant back, from the next request on',
    examples: ['access revoke kim acme/web', "access revoke team:acme/dev 'acme/**' --dry-run"],
    deletes: true,
    referenceAt: 1,
    check: ([subject = '', object = '']) => {
      parseSubject(subject);
      parsePattern(object);
    },
    run: revoke,
  });
  addQuestions(access, context);
}

function addQuestions(access: Command, context: CommandContext): void {
  define<{ subject?: string }>(access, context, {
    usage: 'list [object]',
    about: 'list grants: in a namespace, to a subject, or those on the whole registry',
    examples: ['access list acme', 'access list --subject team:acme/dev', 'access list'],
    options: (command) => command.addOption(new Option('--subject <subject>', 'only those given to it')),
    prints: 'list',
    quiet: 'the ids alone',
    referenceAt: 0,
    check: (_args, { subject }) => void (subject === undefined || parseSubject(subject)),
    run: list,
  });
  define(access, context, {
    usage: 'explain <subject> <repository>',
    about: 'what somebody may do with a repository, and why',
    examples: ['access explain dave acme/web', 'access explain acme+ci acme/web/app'],
    prints: 'one',
    quiet: 'the role alone',
    referenceAt: 1,
    check: ([subject = '']) => void parseSubject(subject),
    run: explain,
  });
}

function checkRole(role: string): void {
  if ((roles as readonly string[]).includes(role)) return;
  throw new CommandError(
    exitCodes.wrongUsage,
    `there is no role ${JSON.stringify(role)}; the roles are ${roles.join(', ')}`,
  );
}

/** Where the API has the grants on an object. */
export function grantsOn(object: string): string {
  const namespace = namespaceOfPattern(object);
  return namespace === undefined ? 'grants' : path`namespaces/${namespace}/grants`;
}

async function grant(call: Call<GrantOptions>): Promise<void> {
  const { api, args, options, context } = call;
  const [subject = '', role = '', object = ''] = args;
  await askWhatIsMeant(object, call);
  const expiresAt = options.until === undefined ? undefined : parseUntil(options.until, '--until');
  const made = await api.post<Grant & { notes?: readonly string[] }>(grantsOn(object), {
    subject,
    object,
    role,
    expiresAt,
  });
  const { stdout, stderr } = context;
  if (options.json) printJson(made, context);
  else if (options.quiet) stdout.write(`${made.id}\n`);
  else {
    const until = made.expiresAt === null ? '' : ` until ${momentText(made.expiresAt)}`;
    const what = `${made.subject}: ${made.role} on ${made.object}${until}`;
    stdout.write(`${what}${await reachText(api, object)}\n`);
  }
  for (const note of made.notes ?? []) stderr.write(`note: ${note}\n`);
}

/** How many repositories a pattern for a whole namespace takes in, where one may know. */
async function reachText(api: Api, object: string): Promise<string> {
  if (!object.includes('*')) return '';
  const namespace = namespaceOfPattern(object);
  if (namespace === undefined || object !== everythingIn(namespace)) return ' (new repositories included)';
  const { usage } = await api.get<NamespaceWithUsage>(path`namespaces/${namespace}`);
  return usage === null ? '' : ` (${countText(usage.repositories, 'repository')} now, and every new one)`;
}

/** A bare name is a repository without a slash; where a namespace is called so, that one is probably meant. */
async function askWhatIsMeant(object: string, { api, options, context }: Call<GrantOptions>): Promise<void> {
  if (object.includes('/') || object.includes('*') || options.yes) return;
  try {
    await api.get(path`namespaces/${object}`);
  } catch (error) {
    if (error instanceof CommandError && error.code === exitCodes.absent) return;
    throw error;
  }
  const question = `${object} alone is the one repository of that name; did you mean ${object}/**?`;
  await confirm(`${question} Grant it on the one repository all the same?`, options, context);
}

async function revoke({ api, args, options, context }: Call<unknown>): Promise<void> {
  const [subject = '', object = ''] = args;
  const where = grantsOn(object);
  const grants = await api.list<Grant>(where);
  const found = grants.find((one) => one.subject === parseSubjectText(subject) && one.object === object);
  if (found === undefined) {
    const others = grants.filter((one) => one.subject === parseSubjectText(subject)).map((one) => one.object);
    const hint = others.length === 0 ? '' : `; it has grants on ${others.join(', ')}`;
    throw new CommandError(exitCodes.absent, `${subject} has no grant on ${object}${hint}`);
  }
  if (options.dryRun) await api.remove(`${where}/${found.id}`, { dryRun: true });
  else {
    await confirm(`Take ${found.role} on ${object} back from ${subject}?`, options, context);
    await api.remove(`${where}/${found.id}`);
  }
  const word = options.dryRun ? 'would be taken back' : 'taken back, from the next request on';
  context.stdout.write(`${subject}: ${found.role} on ${object} ${word}\n`);
}

/** As the API writes it: a robot's name may have come with a space. */
function parseSubjectText(subject: string): string {
  return subject.replaceAll(' ', '+');
}

async function list({ api, args: [object], options, context }: Call<{ subject?: string }>): Promise<void> {
  const all = object === undefined ? await listEverywhere(api, options.subject) : await listOn(api, object);
  const grants =
    options.subject === undefined ? all : all.filter(({ subject }) => subject === options.subject);
  const columns = [
    { head: 'ID', text: ({ id }: Grant) => String(id) },
    { head: 'SUBJECT', text: ({ subject }: Grant) => subject },
    { head: 'ROLE', text: ({ role }: Grant) => role },
    { head: 'OBJECT', text: (one: Grant) => one.object },
    { head: 'UNTIL', text: ({ expiresAt }: Grant) => distanceText(expiresAt, '') },
    { head: 'BY', text: ({ grantedBy }: Grant) => grantedBy },
    { head: 'SINCE', text: ({ createdAt }: Grant) => distanceText(createdAt) },
  ];
  printList(grants, { columns, key: ({ id }) => String(id), none: 'no grants' }, options, context);
}

/** A bare name is the namespace here; a pattern is looked for as it was granted. */
async function listOn(api: Api, object: string): Promise<readonly Grant[]> {
  if (object === '**') return api.list<Grant>('grants');
  const isNamespace = !object.includes('/');
  const grants = await api.list<Grant>(isNamespace ? path`namespaces/${object}/grants` : grantsOn(object));
  return isNamespace || object === `${namespaceOfPattern(object)}/**`
    ? grants
    : grants.filter((grant) => grant.object === object);
}

/** Without a subject: those on the whole registry. With one: wherever the caller may look. */
async function listEverywhere(api: Api, subject: string | undefined): Promise<readonly Grant[]> {
  if (subject === undefined) return api.list<Grant>('grants');
  const namespaces = await api.list<{ name: string }>('namespaces');
  const grants: Grant[] = [];
  for (const where of ['grants', ...namespaces.map(({ name }) => path`namespaces/${name}/grants`)]) {
    try {
      grants.push(...(await api.list<Grant>(where)));
    } catch (error) {
      const hidden =
        error instanceof CommandError && [exitCodes.absent, exitCodes.notAllowed].includes(error.code as 4);
      if (!hidden) throw error;
    }
  }
  return grants;
}
