// `berth import`: taking over from another registry: its folder, an OCI layout, or the registry as it runs.
import type { Command } from 'commander';
import { authoritiesOf } from '../client/authorities.ts';
import { findStored } from '../client/credentials.ts';
import { assertDone, runOperation } from '../client/operations.ts';
import { parseRegistryAddress } from '../client/registry-address.ts';
import { serverPath } from '../client/server-paths.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { readSecretFromInput } from '../output/ask.ts';
import { exitCodeFor, reportText } from '../output/care-reports.ts';
import { printJson } from '../output/print.ts';
import { addGroup, type Call, define } from './define.ts';

interface MannerOptions {
  readonly overwrite?: boolean;
  readonly copy?: boolean;
}

interface ChoiceOptions extends MannerOptions {
  readonly repositories?: readonly string[];
  readonly tags?: readonly string[];
}

interface RegistryOptions extends ChoiceOptions {
  readonly username?: string;
  readonly passwordStdin?: boolean;
}

const notes =
  'Nothing is written to the source. Every digest is verified; what is here already does not travel again, so that an import\n' +
  'that was cut short goes on where it was. Exit code 3 when something in the source is damaged: the rest came over.\n' +
  'Patterns: * is anything but a slash, ** anything at all.';

export function addImport(program: Command, context: CommandContext): void {
  const group = addGroup(program, 'import', 'take over from another registry, with every digest as it is', [
    'import distribution /var/lib/registry',
    'import oci ./layout',
    'import registry registry.example.com --repositories "team/**"',
  ]);
  define<ChoiceOptions>(group, context, {
    usage: 'distribution <path>',
    about: 'the folder of a registry:2 or registry:3 (docker-registry), which should not run meanwhile',
    notes: `The path is the server's. On its file system blobs get a second name, elsewhere they are copied.\n${notes}`,
    examples: [
      'import distribution /var/lib/registry',
      "import distribution /old --repositories 'team/**' --tags 'v*'",
    ],
    options: (command) => addCopy(addOverwrite(addChoice(command))),
    prints: 'one',
    quiet: 'nothing',
    run: async (call) => {
      const path = serverPath(call.api.door, call.args[0] ?? '', 'PATH', call.context);
      const { repositories, tags, overwrite } = call.options;
      await runImport(call, {
        type: 'distribution',
        path,
        repositories,
        tags,
        overwrite,
        link: linkOf(call.options),
      });
    },
  });
  define<MannerOptions & { repository?: string }>(group, context, {
    usage: 'oci <path>',
    about: 'an OCI layout: a folder, or a tar archive as podman save --format oci-archive writes it',
    notes: `The path is the server's.\n${notes}`,
    examples: ['import oci ./layout', 'import oci app.tar --repository team/app'],
    options: (command) =>
      addCopy(addOverwrite(command)).option(
        '--repository <name>',
        'where images go that are named by a tag alone; else the name of the file',
      ),
    prints: 'one',
    quiet: 'nothing',
    run: async (call) => {
      const path = serverPath(call.api.door, call.args[0] ?? '', 'PATH', call.context);
      const { repository, overwrite } = call.options;
      await runImport(call, { type: 'oci', path, repository, overwrite, link: linkOf(call.options) });
    },
  });
  define<RegistryOptions>(group, context, {
    usage: 'registry <url>',
    about: 'a registry that runs; only blobs that are missing travel',
    notes:
      'Signs in there with --username and --password-stdin, else with what podman login or docker login stored on this machine.\n' +
      'The credentials go to the server for this import and are not kept. A registry without a catalog (Docker Hub) needs names\n' +
      `in --repositories.\n${notes}`,
    examples: [
      'import registry https://registry.example.com',
      "import registry old:5000 --repositories 'team/**' --tags 'v*' 'latest'",
      'import registry old:5000 --username sam --password-stdin < secret',
    ],
    options: (command) =>
      addOverwrite(addChoice(command))
        .option('-u, --username <name>', 'who signs in there')
        .option('--password-stdin', 'the password or token for there comes by stdin'),
    prints: 'one',
    quiet: 'nothing',
    check: ([url = ''], { username, passwordStdin }) => {
      parseRegistryAddress(url, 'URL');
      if ((username === undefined) === (passwordStdin === undefined)) return;
      throw new CommandError(exitCodes.wrongUsage, '--username and --password-stdin go together');
    },
    run: importRegistry,
  });
}

function addChoice(command: Command): Command {
  return command
    .option('--repositories <pattern...>', 'only these: names or patterns')
    .option('--tags <pattern...>', 'only these tags, and what they lead to');
}

function addOverwrite(command: Command): Command {
  return command.option('--overwrite', 'move tags, too, that somebody has set or removed here since');
}

function addCopy(command: Command): Command {
  return command.option('--copy', 'copy every blob, even where a second name would do');
}

function linkOf({ copy }: MannerOptions): false | undefined {
  return copy ? false : undefined;
}

async function importRegistry(call: Call<RegistryOptions>): Promise<void> {
  const { args, options, context } = call;
  const { host, origin } = parseRegistryAddress(args[0] ?? '', 'URL');
  const credentials = await credentialsFor(host, options, context);
  const certificate = authoritiesOf(host, context.homeFolder).join('\n') || undefined;
  const { repositories, tags, overwrite } = options;
  const choice = { repositories, tags, overwrite };
  await runImport(call, { type: 'registry', url: origin, credentials, certificate, ...choice });
}

/** Those of the command line, else the stored ones; none where there are none. */
async function credentialsFor(
  host: string,
  { username }: RegistryOptions,
  context: CommandContext,
): Promise<{ username: string; password: string } | undefined> {
  if (username !== undefined) return { username, password: await readSecretFromInput(context) };
  for (const name of namesOf(host)) {
    const stored = await findStored(name, context);
    if (stored?.kind === 'basic') return { username: stored.user, password: stored.secret };
    if (stored !== undefined)
      context.stderr.write(
        `${stored.from} has an identity token for ${name}, which an import cannot use: --username\n`,
      );
  }
  return undefined;
}

/** Docker Hub has several names, and logins are kept under each of them. */
function namesOf(host: string): readonly string[] {
  return /(^|\.)docker\.io$/.test(host) ? [...new Set([host, 'docker.io', 'index.docker.io'])] : [host];
}

async function runImport(
  { api, options, context }: Call<object>,
  source: Readonly<Record<string, unknown>>,
): Promise<void> {
  const operation = await runOperation(api, { kind: 'import', source }, context);
  if (options.json) printJson(operation, context);
  assertDone(operation);
  context.finish(exitCodeFor(operation));
  if (!options.json && !options.quiet) context.stdout.write(reportText(operation, context));
}
