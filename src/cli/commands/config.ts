// `berth config`: what is set and by whom, whether it is right, and its schema.
import type { Command } from 'commander';
import { ConfigurationError, type Fault, faultText } from '../../config/faults.ts';
import { settingsInForce } from '../../config/in-force.ts';
import { jsonSchemaOf } from '../../config/json-schema.ts';
import { settings } from '../../config/settings.ts';
import { addConfigOptions, type ConfigOptions, loadFor } from '../config-options.ts';
import type { CommandContext } from '../context.ts';
import { exitCodes } from '../exit-codes.ts';

interface ConfigCommandOptions extends ConfigOptions {
  readonly json?: boolean;
}

export function addConfig(program: Command, context: CommandContext): void {
  const config = program
    .command('config')
    .description('show, check and describe the configuration')
    .addHelpText(
      'after',
      '\nExamples:\n  berth config show\n  berth config check --config /etc/berth/berth.yaml',
    );
  addConfigOptions(
    config.command('show').description('every setting with its value and where that comes from'),
  )
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExamples:\n  berth config show\n  berth config show --json --config berth.yaml')
    .action((options: ConfigCommandOptions) => show(options, context));
  addConfigOptions(config.command('check').description('report everything that keeps a server from starting'))
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 usable, 3 faults were found.\n\nExamples:\n  berth config check --config berth.yaml',
    )
    .action((options: ConfigCommandOptions) => check(options, context));
  config
    .command('schema')
    .description('print the JSON Schema of berth.yaml, for editors')
    .addHelpText('after', '\nExamples:\n  berth config schema > berth.schema.json')
    .action(() => {
      context.stdout.write(`${JSON.stringify(jsonSchemaOf(settings), undefined, 2)}\n`);
    });
}

function show(options: ConfigCommandOptions, context: CommandContext): void {
  const loaded = loadFor(options, context);
  const items = settingsInForce(loaded);
  if (options.json) {
    context.stdout.write(`${JSON.stringify({ file: loaded.file ?? null, items }, undefined, 2)}\n`);
    return;
  }
  const rows = items.map(({ path, value, source }) => [path, valueText(value), source] as const);
  context.stderr.write(
    `file: ${loaded.file ?? 'none (BERTH_CONFIG, ./berth.yaml and /etc/berth/berth.yaml are not there)'}\n`,
  );
  writeTable(['SETTING', 'VALUE', 'FROM'], rows, context);
}

function valueText(value: unknown): string {
  if (value === null) return '-';
  return Array.isArray(value) ? `[${value.join(', ')}]` : String(value);
}

function writeTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  { stdout }: CommandContext,
): void {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  for (const row of all) {
    const line = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
    stdout.write(`${line.trimEnd()}\n`);
  }
}

function check(options: ConfigCommandOptions, context: CommandContext): void {
  const { file, faults, notes } = examine(options, context);
  if (faults.length > 0) context.finish(exitCodes.found);
  if (options.json) {
    context.stdout.write(`${JSON.stringify({ file: file ?? null, faults, notes }, undefined, 2)}\n`);
    return;
  }
  for (const note of notes) context.stderr.write(`note: ${note}\n`);
  for (const fault of faults) context.stdout.write(`${faultText(fault)}\n`);
  if (faults.length === 0)
    context.stdout.write(`${file ?? 'no file, defaults and environment'}: nothing wrong\n`);
}

/** What `serve` would say, without starting anything. */
function examine(
  options: ConfigOptions,
  context: CommandContext,
): { file?: string | undefined; faults: readonly Fault[]; notes: readonly string[] } {
  try {
    const { file, notes } = loadFor(options, context);
    return { file, notes, faults: [] };
  } catch (error) {
    if (error instanceof ConfigurationError) return { faults: error.faults, notes: [] };
    throw error;
  }
}
