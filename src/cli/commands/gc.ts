// `berth gc`: takes back the space of what nothing references any more, while people push and pull.
import type { Command } from 'commander';
import type { Api } from '../client/api.ts';
import type { CollectionReport } from '../client/care-shapes.ts';
import { assertDone, runOperation } from '../client/operations.ts';
import type { CommandContext } from '../context.ts';
import { exitCodeFor, type HoldTimes, reportText } from '../output/care-reports.ts';
import { printJson } from '../output/print.ts';
import { type Call, define } from './define.ts';

interface GcOptions {
  readonly dryRun?: boolean;
  readonly now?: boolean;
  readonly force?: boolean;
}

export function addGc(program: Command, context: CommandContext): void {
  define<GcOptions>(program, context, {
    usage: 'gc',
    about: 'free the space of what nothing references any more; nobody has to stop for it',
    notes:
      'Untagged manifests stay: only what was deleted goes, and what was pushed and never used. The server does it by itself, too\n' +
      '(collector.schedule). Exit code 6 when it would take back too much at once, or the folder\n' +
      'had another database before, and --force was not said.',
    examples: ['gc', 'gc --dry-run', 'gc --now', 'gc --force'],
    options: (command) =>
      command
        .option('--dry-run', 'tell what would come free and change nothing')
        .option('--now', 'give up what was deleted and could still be restored')
        .option(
          '--force',
          'even when most of the registry would go, or what came after a berth.db that was put back',
        ),
    prints: 'one',
    quiet: 'the bytes that came free alone',
    run: collect,
  });
}

async function collect({ api, options, context }: Call<GcOptions>): Promise<void> {
  const { dryRun = false, now = false, force = false } = options;
  const operation = await runOperation(api, { kind: 'gc', dryRun, now, force }, context);
  if (options.json) printJson(operation, context);
  assertDone(operation);
  context.finish(exitCodeFor(operation));
  const report = operation.report as CollectionReport | null;
  if (options.quiet) context.stdout.write(`${report?.freed.bytes ?? 0}\n`);
  else if (!options.json) context.stdout.write(reportText(operation, context, await readHoldTimes(api)));
}

const unitNames: Readonly<Record<string, string>> = { s: 's', m: 'min', h: 'h', d: 'days' };

/** From the configuration in force; a registry that does not show it leaves them out. */
async function readHoldTimes(api: Api): Promise<HoldTimes> {
  const settings = await api
    .get<{ items: readonly { path: string; value: unknown }[] }>('config')
    .catch(() => ({ items: [] }));
  const timeOf = (name: string): string | undefined => {
    const value = settings.items.find(({ path }) => path === name)?.value;
    const [, count, unit = ''] = /^(\d+)([smhd])$/.exec(String(value)) ?? [];
    return count === undefined
      ? undefined
      : `${count} ${count === '1' && unit === 'd' ? 'day' : unitNames[unit]}`;
  };
  return { undelete: timeOf('repositories.undeleteFor'), lease: timeOf('collector.lease') };
}
