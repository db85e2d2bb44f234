// `berth robot`: accounts of machines, NAMESPACE+NAME, which sign in with tokens alone.
import { type Command, Option } from 'commander';
import { parseRobotName } from '../../auth/account-name.ts';
import { roles } from '../../storage/account-store.ts';
import { type Api, path } from '../client/api.ts';
import { patternsOfRobot, placeOfRobot, registryNamespace } from '../client/robot-names.ts';
import type { Grant, Robot, Token, WithSecret } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm } from '../output/ask.ts';
import { printFacts, printJson, printList } from '../output/print.ts';
import { countText, distanceText } from '../output/text.ts';
import { expiryText, loginLine, usedText } from '../output/token-text.ts';
import { addGroup, type Call, define } from './define.ts';

interface RobotOptions {
  readonly role?: string;
  readonly repositories?: string;
  readonly description?: string;
}

/** As 4d of the examples rotates it: `berth token remove --for acme+ci first`. */
const firstToken = 'first';

export function addRobot(program: Command, context: CommandContext): void {
  const robot = addGroup(program, 'robot', 'accounts of machines', [
    "robot add acme+ci --role write --repositories 'web/**'",
    'robot list acme',
    'robot disable acme+ci',
  ]);
  define<RobotOptions>(robot, context, {
    usage: 'add <namespace+name>',
    about: 'add a robot, grant it a role and print its first token',
    notes:
      'The token is shown once. --repositories begins within the namespace: web/** of acme+ci is acme/web/**.\n' +
      'Robots of the namespace system are for the whole registry.',
    examples: [
      "robot add acme+ci --role write --repositories 'web/**'",
      'robot add acme+k8s --role read',
      'robot add acme+ci --role write -q          the token alone',
    ],
    options: (command) =>
      command
        .addOption(
          new Option('--role <role>', 'what it may; without, it may nothing yet').choices([...roles]),
        )
        .option('--repositories <pattern>', 'where it may, from its namespace on (default: all of it)')
        .option('--description <text>', 'what it is for'),
    prints: 'one',
    quiet: 'the token alone',
    check: ([name = ''], { role, repositories }) => {
      parseRobotName(name);
      if (repositories === undefined || role !== undefined) return;
      throw new CommandError(exitCodes.wrongUsage, '--repositories needs --role');
    },
    run: add,
  });
  define(robot, context, {
    usage: 'list [namespace]',
    about: 'list the robots of a namespace, or of all that you may manage',
    examples: ['robot list acme', 'robot list'],
    prints: 'list',
    run: list,
  });
  define(robot, context, {
    usage: 'show <namespace+name>',
    about: 'a robot with its grants and tokens',
    examples: ['robot show acme+ci'],
    prints: 'one',
    quiet: 'the name alone',
    check: ([name = '']) => void parseRobotName(name),
    run: show,
  });
  addEnds(robot, context);
}

function addEnds(robot: Command, context: CommandContext): void {
  for (const enabled of [true, false]) {
    const verb = enabled ? 'enable' : 'disable';
    define(robot, context, {
      usage: `${verb} <namespace+name>`,
      about: enabled ? 'let a disabled robot in again' : 'refuse its tokens from the next request on',
      examples: [`robot ${verb} acme+ci`],
      check: ([name = '']) => void parseRobotName(name),
      run: async ({ api, args: [name = ''], context: { stdout } }) => {
        await api.patch(placeOfRobot(name).where, { enabled });
        stdout.write(`robot ${name} ${verb}d\n`);
      },
    });
  }
  define(robot, context, {
    usage: 'remove <namespace+name>',
    about: 'remove a robot with its tokens and grants',
    examples: ['robot remove acme+ci --yes'],
    deletes: true,
    check: ([name = '']) => void parseRobotName(name),
    run: remove,
  });
}

async function add({ api, args: [given = ''], options, context }: Call<RobotOptions>): Promise<void> {
  const { namespace, robot, name, where } = placeOfRobot(given);
  const { role, repositories = '**', description } = options;
  const [object = ''] = patternsOfRobot(namespace, [repositories], context);
  const added = await api.post<Robot>(path`namespaces/${namespace}/robots`, { name: robot, description });
  let token: Token & WithSecret;
  try {
    if (role !== undefined) await api.post(grantsOf(namespace), { subject: name, object, role });
    token = await api.post<Token & WithSecret>(`${where}/tokens`, { name: firstToken, role: 'admin' });
  } catch (error) {
    // Half a robot helps nobody, and would be in the way of the next try.
    await api.remove(where).catch(() => undefined);
    throw error;
  }
  const { stdout, stderr } = context;
  if (options.json) printJson({ ...added, token }, context);
  else if (options.quiet) stdout.write(`${token.secret}\n`);
  else {
    stdout.write(`robot ${name} added${role === undefined ? '' : `: ${role} on ${object}`}\n`);
    stdout.write(`token (shown once; ${expiryText(token)}):\n${token.secret}\n`);
    stdout.write(`  ${loginLine(api.door.host, name)}\n`);
    if (role === undefined) stderr.write(`it may nothing yet: berth access grant ${name} ROLE PATTERN\n`);
  }
}

function grantsOf(namespace: string): string {
  return namespace === registryNamespace ? 'grants' : path`namespaces/${namespace}/grants`;
}

async function list({ api, args: [namespace], options, context }: Call<unknown>): Promise<void> {
  const robots =
    namespace === undefined
      ? await listEverywhere(api)
      : await api.list<Robot>(path`namespaces/${namespace}/robots`);
  const columns = [
    { head: 'NAME', text: ({ name }: Robot) => name },
    { head: 'STATE', text: (one: Robot) => (one.enabled ? 'enabled' : 'disabled') },
    { head: 'DESCRIPTION', text: ({ description }: Robot) => description },
    { head: 'ADDED', text: ({ createdAt }: Robot) => distanceText(createdAt) },
  ];
  printList(robots, { columns, key: ({ name }) => name, none: 'no robots' }, options, context);
}

/** Namespaces whose robots are not for the caller to see are left out. */
async function listEverywhere(api: Api): Promise<readonly Robot[]> {
  const namespaces = await api.list<{ name: string }>('namespaces');
  const names = new Set([...namespaces.map(({ name }) => name), registryNamespace]);
  const robots: Robot[] = [];
  for (const name of names) {
    try {
      robots.push(...(await api.list<Robot>(path`namespaces/${name}/robots`)));
    } catch (error) {
      const hidden =
        error instanceof CommandError && [exitCodes.absent, exitCodes.notAllowed].includes(error.code as 4);
      if (!hidden) throw error;
    }
  }
  return robots;
}

async function show({ api, args: [given = ''], options, context }: Call<unknown>): Promise<void> {
  const { where, name, namespace } = placeOfRobot(given);
  const robot = await api.get<Robot>(where);
  if (options.json) printJson(robot, context);
  else if (options.quiet) context.stdout.write(`${robot.name}\n`);
  else {
    const tokens = await api.list<Token>(`${where}/tokens`);
    const grants = (await api.list<Grant>(grantsOf(namespace))).filter(({ subject }) => subject === name);
    printFacts(
      [
        ['name', robot.name],
        ['description', robot.description || undefined],
        ['state', robot.enabled ? 'enabled' : 'disabled'],
        ['may', grants.map(({ role, object }) => `${role} on ${object}`).join(', ') || 'nothing'],
        ...tokens.map(
          (token) => ['token', `${token.name}, ${expiryText(token, false)}, ${usedText(token)}`] as const,
        ),
        ['added', distanceText(robot.createdAt)],
      ],
      context,
    );
  }
}

async function remove({ api, args: [given = ''], options, context }: Call<unknown>): Promise<void> {
  const { where, name } = placeOfRobot(given);
  const tokens = await api.list<Token>(`${where}/tokens`);
  const what = `robot ${name} with ${countText(tokens.length, 'token')}`;
  if (options.dryRun) await api.remove(where, { dryRun: true });
  else {
    await confirm(`Remove ${what} and its grants?`, options, context);
    await api.remove(where);
  }
  context.stdout.write(`${what} ${options.dryRun ? 'would be removed' : 'removed'}\n`);
}
