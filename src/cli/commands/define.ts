// How a command that speaks to a registry is declared: its words, what it prints and asks, and what it does once the door is open.
import type { Command } from 'commander';
import { InvalidNameError } from '../../auth/account-name.ts';
import { type Api, withApi } from '../client/api.ts';
import { addDoorOptions, type DoorOptions } from '../client/door.ts';
import { splitReference } from '../client/registry-address.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { addConfirmOptions, addDryRun, type ConfirmOptions } from '../output/ask.ts';
import { addOutputOptions, type OutputOptions } from '../output/print.ts';

export type CommonOptions = DoorOptions & OutputOptions & ConfirmOptions;

/** One run of a command. */
export interface Call<Options> {
  readonly api: Api;
  /** The arguments in order; those that were left out are at the end and undefined. */
  readonly args: readonly string[];
  readonly options: Options & CommonOptions;
  readonly context: CommandContext;
}

export interface Definition<Options> {
  /** As commander has it: 'add <name>'. The verbs list and remove get their short names ls and rm. */
  readonly usage: string;
  readonly about: string;
  /** Command lines without the word berth. */
  readonly examples: readonly string[];
  /** More for --help, in front of the examples. */
  readonly notes?: string;
  readonly options?: (command: Command) => Command;
  /** Prints a list or one thing: --json and --quiet. */
  readonly prints?: 'list' | 'one';
  /** What --quiet prints. */
  readonly quiet?: string;
  /** Deletes: --yes and --dry-run. */
  readonly deletes?: boolean;
  /** Changes many: --dry-run. */
  readonly changesMany?: boolean;
  /** The argument that may have the registry's host in front. */
  readonly referenceAt?: number;
  /** Refuses wrong usage before anything is tried; asks for secrets. What it returns goes to `run`. */
  readonly run: (call: Call<Options>) => Promise<void>;
  /** Throws CommandError for wrong usage, before a door is opened. */
  readonly check?: (args: readonly string[], options: Options & CommonOptions) => void;
}

const shortVerbs: Readonly<Record<string, string>> = { list: 'ls', remove: 'rm' };

/** A command that only holds others. */
export function addGroup(parent: Command, name: string, about: string, examples: readonly string[]): Command {
  return parent.command(name).description(about).addHelpText('after', examplesText(examples));
}

/** Adds a command to `parent`. */
export function define<Options>(
  parent: Command,
  context: CommandContext,
  definition: Definition<Options>,
): void {
  const command = parent.command(definition.usage).description(definition.about);
  const short = shortVerbs[command.name()];
  if (short !== undefined) command.alias(short);
  definition.options?.(command);
  if (definition.deletes) addConfirmOptions(command);
  else if (definition.changesMany) addDryRun(command);
  if (definition.prints !== undefined) addOutputOptions(command, definition.prints, definition.quiet);
  addDoorOptions(command);
  if (definition.notes !== undefined) command.addHelpText('after', `\n${definition.notes}`);
  command.addHelpText('after', examplesText(definition.examples));
  command.action(async () => {
    // Variadic arguments arrive as a list within the list.
    const given = (command.processedArgs as (string | readonly string[] | undefined)[]).flat();
    const options = command.opts<Options & CommonOptions>();
    const { args, host } = takeHost(given as string[], definition.referenceAt, options);
    await naming(() => definition.check?.(args, options));
    await withApi(
      options,
      context,
      (api) => naming(() => definition.run({ api, args, options, context })),
      host,
    );
  });
}

export function examplesText(examples: readonly string[]): string {
  return `\nExamples:\n${examples.map((example) => `  berth ${example}`).join('\n')}`;
}

/** A name that cannot be is wrong usage. */
async function naming(act: () => Promise<void> | undefined | void): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof InvalidNameError)) throw error;
    throw new CommandError(exitCodes.wrongUsage, error.message, { cause: error });
  }
}

function takeHost(
  given: readonly string[],
  index: number | undefined,
  { registry }: DoorOptions,
): { args: readonly string[]; host: string | undefined } {
  const text = index === undefined ? undefined : given[index];
  if (text === undefined) return { args: given, host: undefined };
  const { host, name } = splitReference(text);
  const sameAsFlag =
    registry !== undefined && host === registry.replace(/^https?:\/\//, '').replace(/\/$/, '');
  // A registry named by flag takes every name as it is, except for its own host in front.
  if (host === undefined || (registry !== undefined && !sameAsFlag)) return { args: given, host: undefined };
  return { args: given.with(index ?? 0, name), host };
}
