// `berth token`: what people and robots sign in with instead of a password.
import { type Command, Option } from 'commander';
import { parsePattern } from '../../auth/pattern.ts';
import { roles } from '../../storage/account-store.ts';
import { type Api, path } from '../client/api.ts';
import { patternsOfRobot, placeOfRobot } from '../client/robot-names.ts';
import type { Token, WithSecret } from '../client/shapes.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { confirm } from '../output/ask.ts';
import {
  type CredentialFormat,
  credentialFormats,
  dockerConfigText,
  environmentText,
  kubernetesText,
  netrcText,
} from '../output/credential-formats.ts';
import { parseUntil } from '../output/moments.ts';
import { printJson, printList } from '../output/print.ts';
import { distanceText } from '../output/text.ts';
import { expiryText, loginLine, reachText, usedText } from '../output/token-text.ts';
import { addGroup, type Call, define } from './define.ts';

interface ForOptions {
  readonly for?: string;
}

interface AddOptions extends ForOptions {
  readonly role?: string;
  readonly repositories?: readonly string[];
  readonly expires?: string;
  readonly format?: CredentialFormat;
  readonly name?: string;
  readonly kubernetesNamespace?: string;
}

const forFlag = '--for <namespace+robot>';

export function addToken(program: Command, context: CommandContext): void {
  const token = addGroup(program, 'token', 'what people and robots sign in with instead of a password', [
    'token add laptop',
    'token add --for acme+ci rotate-2026-12 -q',
    'token list --for acme+ci',
  ]);
  define<AddOptions>(token, context, {
    usage: 'add [name]',
    about: 'make a token, your own or of a robot, and print it',
    notes:
      'It is shown once. Whatever it says, it never gives more than its owner has at the moment.\n' +
      '--repositories of a robot begins within its namespace; your own takes full names.',
    examples: [
      'token add laptop --role read --expires 30d',
      'token add --for acme+ci rotate-2026-12 -q | gh secret set BERTH_TOKEN',
      'token add --for acme+k8s prod --format kubernetes --name berth -n prod | kubectl apply -f -',
      "token add scan --role read --repositories 'acme/**' 'lab/**'",
    ],
    options: addOptions,
    prints: 'one',
    quiet: 'the token alone',
    check: checkAdd,
    run: add,
  });
  define<ForOptions>(token, context, {
    usage: 'list',
    about: 'list your tokens, or those of a robot or user',
    examples: ['token list', 'token list --for acme+ci', 'token list --for carol'],
    options: (command) => command.option('--for <owner>', 'of this robot or user'),
    prints: 'list',
    quiet: 'the ids alone',
    run: list,
  });
  define<ForOptions>(token, context, {
    usage: 'remove <id|name>',
    about: 'end a token from the next request on',
    examples: ['token remove laptop', 'token remove --for acme+ci first --yes'],
    options: (command) => command.option('--for <owner>', 'of this robot or user'),
    deletes: true,
    run: remove,
  });
}

function addOptions(command: Command): Command {
  return command
    .option(forFlag, 'of this robot; without, your own')
    .addOption(new Option('--role <role>', 'the most it gives').choices([...roles]))
    .option('--repositories <pattern...>', 'only these')
    .option(
      '--expires <when>',
      '90d, a date (the end of that day, UTC), or never; else as the registry has it',
    )
    .addOption(
      new Option('--format <format>', 'how it is printed').choices([...credentialFormats]).default('text'),
    )
    .option('--name <secret>', 'with --format kubernetes: the name of the Secret', 'berth')
    .option('-n, --kubernetes-namespace <namespace>', 'with --format kubernetes: its namespace');
}

function checkAdd(_args: readonly string[], options: AddOptions): void {
  if (options.expires !== undefined && options.expires !== 'never') parseUntil(options.expires, '--expires');
  // Before a token is made that nobody gets to see.
  if (options.format === 'kubernetes') {
    kubernetesText(
      { host: '', address: '', user: '', secret: '' },
      options.name ?? '',
      options.kubernetesNamespace,
    );
  }
}

interface Owner {
  readonly name: string;
  readonly where: string;
  readonly namespace: string | undefined;
}

/** `text` undefined: whoever signed in. */
export async function findOwner(api: Api, text: string | undefined): Promise<Owner> {
  if (text !== undefined && /[+ ]/.test(text)) {
    const { name, namespace, where } = placeOfRobot(text);
    return { name, namespace, where };
  }
  const name = text ?? (await findMe(api));
  return { name, namespace: undefined, where: path`users/${name}` };
}

/** The name of whoever signed in. Throws CommandError on this machine's own door, where nobody has. */
export async function findMe(api: Api): Promise<string> {
  if (api.door.kind !== 'registry') {
    const message =
      'whose? On this machine you are nobody but its administrator: name a robot or user, or sign in with -r HOST';
    throw new CommandError(exitCodes.wrongUsage, message);
  }
  return (await api.get<{ name: string }>('me')).name;
}

async function add(call: Call<AddOptions>): Promise<void> {
  const { api, args, options, context } = call;
  const owner = await findOwner(api, options.for);
  const { role, repositories, expires } = options;
  const patterns =
    repositories === undefined || owner.namespace === undefined
      ? repositories?.map(parsePattern)
      : patternsOfRobot(owner.namespace, repositories, context);
  const token = await api.post<Token & WithSecret>(`${owner.where}/tokens`, {
    name: args[0] ?? nameForNow(),
    // The most there is: no less than its owner has.
    role: role ?? 'admin',
    repositories: patterns,
    // null: never; left out: as the registry has it.
    expiresAt:
      expires === undefined ? undefined : expires === 'never' ? null : parseUntil(expires, '--expires'),
  });
  printToken(token, owner.name, call);
}

/** A name that is free and says when: 2026-11-24.063512 */
function nameForNow(): string {
  return new Date().toISOString().slice(0, 19).replace('T', '.').replaceAll(':', '');
}

function printToken(
  token: Token & WithSecret,
  user: string,
  { api, options, context }: Call<AddOptions>,
): void {
  const { stdout } = context;
  const facts = { host: api.door.host, address: api.door.address, user, secret: token.secret };
  if (options.json || options.format === 'json') printJson(token, context);
  else if (options.quiet) stdout.write(`${token.secret}\n`);
  else if (options.format === 'dockerconfig') stdout.write(dockerConfigText(facts));
  else if (options.format === 'env') stdout.write(environmentText(facts));
  else if (options.format === 'netrc') stdout.write(netrcText(facts));
  else if (options.format === 'kubernetes') {
    stdout.write(kubernetesText(facts, options.name ?? '', options.kubernetesNamespace));
  } else {
    stdout.write(`token ${token.name} of ${user}: ${reachText(token, user)}\n`);
    stdout.write(`(shown once; ${expiryText(token)}):\n${token.secret}\n`);
    stdout.write(`  ${loginLine(facts.host, user)}\n`);
  }
}

async function list({ api, options, context }: Call<ForOptions>): Promise<void> {
  const owner = await findOwner(api, options.for);
  const tokens = await api.list<Token>(`${owner.where}/tokens`);
  const columns = [
    { head: 'ID', text: ({ id }: Token) => String(id) },
    { head: 'NAME', text: ({ name }: Token) => name },
    { head: 'MAY', text: (token: Token) => reachText(token, owner.name) },
    { head: 'EXPIRES', text: ({ expiresAt }: Token) => distanceText(expiresAt) },
    { head: 'USED', text: ({ lastUsedAt }: Token) => distanceText(lastUsedAt) },
    { head: 'FROM', text: ({ lastUsedFrom }: Token) => lastUsedFrom ?? '' },
    { head: 'MADE', text: ({ createdAt }: Token) => distanceText(createdAt) },
  ];
  const form = { columns, key: ({ id }: Token) => String(id), none: `${owner.name} has no tokens` };
  printList(tokens, form, options, context);
}

async function remove({ api, args: [wanted = ''], options, context }: Call<ForOptions>): Promise<void> {
  const owner = await findOwner(api, options.for);
  const tokens = await api.list<Token>(`${owner.where}/tokens`);
  // A name that looks like an id is looked for as a name first: nobody types an id by chance.
  const token = tokens.find(({ name }) => name === wanted) ?? tokens.find(({ id }) => String(id) === wanted);
  if (token === undefined) {
    const names = tokens.map(({ name }) => name).join(', ');
    const known = tokens.length === 0 ? 'has no tokens' : `has the tokens ${names}`;
    throw new CommandError(exitCodes.absent, `${owner.name} has no token ${wanted}; ${owner.name} ${known}`);
  }
  const where = `${owner.where}/tokens/${token.id}`;
  if (options.dryRun) await api.remove(where, { dryRun: true });
  else {
    const used = usedText(token);
    await confirm(`End token ${token.name} of ${owner.name}, ${used}?`, options, context);
    await api.remove(where);
  }
  const word = options.dryRun ? 'would end' : 'ends';
  context.stdout.write(`token ${token.name} of ${owner.name} ${word} with the next request\n`);
}
