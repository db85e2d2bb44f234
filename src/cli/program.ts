// The command line: which commands there are, and how one ends. Each noun is a file in commands/.
import { Command, CommanderError } from 'commander';
import { findClosest } from '../config/closest.ts';
import { ConfigurationError } from '../config/faults.ts';
import { version } from '../version.ts';
import { addServe } from './commands/serve.ts';
import type { CommandContext, Surroundings } from './context.ts';
import { CommandError, type ExitCode, exitCodes } from './exit-codes.ts';

type AddCommand = (program: Command, context: CommandContext) => void;

const examples = `
Examples:
  berth serve                          a registry for this machine on http://127.0.0.1:5000
  berth serve --port 5001 --data /srv/berth
  berth setup podman --write           lets podman use it without --tls-verify=false
  berth config check --config berth.yaml

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done and something was found, 4 not allowed, 5 not there,
6 refused by state, 7 registry not reached, 130 interrupted.`;

/** Runs one command line (without the program's own name) to its end. Resolves with the exit code; never rejects. */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  let code: ExitCode = exitCodes.done;
  const context: CommandContext = { ...surroundings, finish: (ended) => (code = ended) };
  try {
    await buildProgram(context, await commandsFor(args)).parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    return reportEnd(error, context);
  }
}

// A server needs one command, and keeps what it loads for as long as it lives: the others are 13 MiB.
async function commandsFor(args: readonly string[]): Promise<readonly AddCommand[]> {
  return args[0] === 'serve' ? [addServe] : (await import('./commands/all.ts')).commands;
}

/** `commands`, ready to parse a command line. */
export function buildProgram(context: CommandContext, commands: readonly AddCommand[]): Command {
  const program = new Command('berth')
    .description('A private container registry: one process, one folder.')
    .version(version, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'help for a command')
    .addHelpText('after', examples);
  for (const add of commands) add(program, context);
  for (const command of withSubcommands(program)) {
    command
      .exitOverride()
      .configureOutput({
        writeOut: (text) => context.stdout.write(text),
        writeErr: (text) => context.stderr.write(text),
        outputError: (text, write) => write(text.replace(/^error: /, 'berth: ')),
      })
      // Left-over words are refused in preAction, which can say what was probably meant.
      .allowExcessArguments(true)
      .helpOption('-h, --help', 'show this help');
    if (command.commands.length > 0)
      command.on('command:*', (words: string[]) => refuseCommand(command, words[0] ?? ''));
  }
  program.hook('preAction', (_program, command) => refuseLeftOver(command));
  return program;
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

function refuseCommand(command: Command, word: string): never {
  const near = findClosest(
    word,
    command.commands.map((one) => one.name()),
  );
  const meant = isPort(word) && command.parent === null ? `serve --port ${word}` : near;
  const known = command.commands.map((one) => one.name()).join(', ');
  const hint =
    meant === undefined ? `the commands are ${known}` : `did you mean ${pathOf(command)} ${meant}?`;
  throw new CommandError(exitCodes.wrongUsage, `unknown command ${JSON.stringify(word)}; ${hint}`);
}

function refuseLeftOver(command: Command): void {
  if (command.registeredArguments.at(-1)?.variadic) return;
  const word = command.args[command.registeredArguments.length];
  if (word === undefined) return;
  const flags = command.options.map((option) => option.long ?? '');
  const meant = isPort(word) && flags.includes('--port') ? `--port ${word}` : findClosest(`--${word}`, flags);
  const hint =
    meant === undefined ? `${pathOf(command)} --help shows what it takes` : `did you mean ${meant}?`;
  throw new CommandError(exitCodes.wrongUsage, `unknown argument ${JSON.stringify(word)}; ${hint}`);
}

function isPort(word: string): boolean {
  return /^\d{1,5}$/.test(word) && Number(word) <= 65_535;
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function reportEnd(error: unknown, { stderr }: Surroundings): ExitCode {
  // Commander has printed its own message; help and version end this way too, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.wrongUsage;
  if (error instanceof ConfigurationError) {
    const count = error.faults.length === 1 ? 'a fault' : `${error.faults.length} faults`;
    stderr.write(`berth: the configuration has ${count}; nothing was started\n`);
    for (const line of error.message.split('\n')) stderr.write(`  ${line}\n`);
    return exitCodes.wrongUsage;
  }
  if (error instanceof CommandError) {
    stderr.write(`berth: ${error.message}\n`);
    return error.code;
  }
  stderr.write(
    `berth: this should not have happened. ${error instanceof Error ? error.stack : String(error)}\n`,
  );
  return exitCodes.failed;
}
