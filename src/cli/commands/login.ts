// `berth login` and `berth logout`: credentials for a registry, in the same place where podman keeps them.
import type { Command } from 'commander';
import {
  authFilesToRead,
  authFileToWrite,
  changeEntry,
  findEntry,
  readAuthFile,
} from '../client/auth-file.ts';
import { eraseWithHelper, storeWithHelper } from '../client/credential-helper.ts';
import { helperFor } from '../client/credentials.ts';
import { targetOf } from '../client/door.ts';
import { parseRegistryAddress, type RegistryAddress } from '../client/registry-address.ts';
import { signIn } from '../client/sign-in.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { askLine, askSecret, isTerminal, readSecretFromInput } from '../output/ask.ts';
import { examplesText } from './define.ts';

interface LoginOptions {
  readonly username?: string;
  readonly passwordStdin?: boolean;
}

export function addLogin(program: Command, context: CommandContext): void {
  program
    .command('login')
    .argument('[host]', 'HOST, HOST:PORT or a URL (else BERTH_REGISTRY)')
    .description('sign in to a registry; podman, skopeo and buildah are signed in too')
    .option('-u, --username <name>', 'your name, or that of a robot')
    .option('--password-stdin', 'the password or token comes by stdin')
    .addHelpText(
      'after',
      examplesText([
        'login registry.example.com',
        'login registry.example.com -u acme+ci --password-stdin <<< "$BERTH_TOKEN"',
        'login http://nas:5000 -u sam',
      ]),
    )
    .action((host: string | undefined, options: LoginOptions) => login(host, options, context));
  program
    .command('logout')
    .argument('[host]', 'HOST, HOST:PORT or a URL (else BERTH_REGISTRY)')
    .description('forget the credentials for a registry')
    .addHelpText('after', examplesText(['logout registry.example.com']))
    .action((host: string | undefined) => logout(host, context));
}

async function login(
  named: string | undefined,
  options: LoginOptions,
  context: CommandContext,
): Promise<void> {
  const { host, origin } = addressOf(named, context);
  if (options.username === undefined && (options.passwordStdin || !isTerminal(context))) {
    throw new CommandError(exitCodes.wrongUsage, 'as whom? -u NAME');
  }
  const user = options.username ?? (await askLine('User name: ', context)).trim();
  const secret = options.passwordStdin
    ? await readSecretFromInput(context)
    : await askSecret('Password or token', '--password-stdin', context);
  const outcome = await signIn(targetOf(origin, host, context.homeFolder), user, secret, context.homeFolder);
  if (outcome === 'no-sign-in-needed') {
    context.stderr.write(`${host} asks nobody to sign in; nothing was stored\n`);
    return;
  }
  const place = await store(host, user, secret, context);
  context.stdout.write(`signed in to ${host} as ${user} (kept in ${place})\n`);
}

async function store(host: string, user: string, secret: string, context: CommandContext): Promise<string> {
  const file = authFileToWrite(context);
  const helper = helperFor(readAuthFile(file) ?? {}, host);
  if (helper !== undefined) {
    await storeWithHelper(helper, host, { user, secret }, context.environment);
    return `docker-credential-${helper}`;
  }
  changeEntry(file, host, { auth: Buffer.from(`${user}:${secret}`).toString('base64') });
  return file;
}

async function logout(named: string | undefined, context: CommandContext): Promise<void> {
  const { host } = addressOf(named, context);
  const file = authFileToWrite(context);
  const helper = helperFor(readAuthFile(file) ?? {}, host);
  const erased = helper !== undefined && (await eraseWithHelper(helper, host, context.environment));
  const removed = changeEntry(file, host, undefined);
  const others = authFilesToRead(context).filter((path) => {
    const other = path === file ? undefined : readAuthFile(path);
    return other !== undefined && findEntry(other, host) !== undefined;
  });
  if (erased || removed) context.stdout.write(`signed out of ${host}\n`);
  for (const path of others) context.stderr.write(`${path} still has credentials for ${host}\n`);
  if (erased || removed || others.length > 0) return;
  throw new CommandError(exitCodes.absent, `there are no credentials for ${host} in ${file}`);
}

function addressOf(named: string | undefined, { environment }: CommandContext): RegistryAddress {
  if (named !== undefined) return parseRegistryAddress(named, 'HOST');
  if (environment.BERTH_REGISTRY) return parseRegistryAddress(environment.BERTH_REGISTRY, 'BERTH_REGISTRY');
  throw new CommandError(exitCodes.wrongUsage, 'which registry? berth login HOST, or set BERTH_REGISTRY');
}
