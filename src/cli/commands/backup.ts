// `berth backup`: making a backup while people push; what needs no server is in backup-folders.ts.
import type { Command } from 'commander';
import { assertDone, runOperation } from '../client/operations.ts';
import { serverPath } from '../client/server-paths.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { addConfirmOptions, type ConfirmOptions } from '../output/ask.ts';
import { exitCodeFor, reportText } from '../output/care-reports.ts';
import { addOutputOptions, type OutputOptions, printJson } from '../output/print.ts';
import { list, type RestoreOptions, remove, restore, verify } from './backup-folders.ts';
import { addGroup, type Call, define, examplesText } from './define.ts';

interface CreateOptions {
  readonly keep?: string;
  readonly verify?: boolean;
}

export function addBackup(program: Command, context: CommandContext): void {
  const group = addGroup(program, 'backup', 'backups of the whole registry', [
    'backup create /mnt/backup/berth',
    'backup verify /mnt/backup/berth',
    'backup restore /mnt/backup/berth --data /srv/berth-new',
  ]);
  define<CreateOptions>(group, context, {
    usage: 'create [destination]',
    about: 'back the registry up while people push and pull; only what is new travels',
    notes:
      'The folder holds many backups, which share their blobs. It is a path of the server; without it backup.destination is\n' +
      'meant. On the same file system blobs are second names: put backups on another disk to be safe from the loss of this\n' +
      'one. Exit code 3 when blobs are damaged, or when old backups could not be removed because one of them is.',
    examples: ['backup create /mnt/backup/berth', 'backup create /mnt/backup/berth --keep 14 --verify'],
    options: (command) =>
      command
        .option('--keep <count>', 'remove older backups of this registry, so that so many stay')
        .option('--verify', 'read the whole backup once more at the end'),
    prints: 'one',
    quiet: 'the name of the backup alone',
    check: (_args, { keep }) => void countOf(keep),
    run: create,
  });
  addFolderCommands(group, context);
}

/** Those that need no server. */
function addFolderCommands(group: Command, context: CommandContext): void {
  addOutputOptions(
    group
      .command('list <folder>')
      .alias('ls')
      .description('the backups in a folder, oldest first, and which registry made each; needs no server'),
    'list',
    'the names alone',
  )
    .addHelpText('after', '\nExit code 3 when one cannot be read: until that is mended, none is removed.')
    .addHelpText('after', examplesText(['backup list /mnt/backup/berth']))
    .action((folder: string, options: OutputOptions) => list(folder, options, context));
  addOutputOptions(
    group
      .command('verify <folder> [name]')
      .description('read every backup in a folder, or one, and check every hash; needs no server'),
    'one',
    'the digests of damaged blobs alone',
  )
    .addHelpText('after', '\nChanges nothing. Exit code 3 when something is damaged.')
    .addHelpText('after', examplesText(['backup verify /mnt/backup/berth']))
    .action((folder: string, name: string | undefined, options: OutputOptions) =>
      verify(folder, name, options, context),
    );
  addConfirmOptions(
    group
      .command('remove <folder> <name...>')
      .alias('rm')
      .description('remove backups from a folder, and the blobs that no other one needs; needs no server'),
  )
    .addHelpText('after', '\nWhat the other backups need stays. Exit code 5 where there is no such backup.')
    .addHelpText('after', examplesText(['backup remove /mnt/backup/berth 20261124T020000Z-1f2e']))
    .action((folder: string, names: readonly string[], options: ConfirmOptions) =>
      remove(folder, names, options, context),
    );
  group
    .command('restore <source>')
    .description('make a new data folder from a backup; needs no server')
    .requiredOption('--data <folder>', 'the data folder to make; new or empty')
    .option('--name <backup>', 'which backup; the newest without it')
    .option('--copy', 'copy every blob, even where a second name would do')
    .option('--json', 'what was done as JSON')
    .addHelpText(
      'after',
      '\nEvery blob is verified. Exit code 6 when the folder is used, 3 when blobs are damaged.',
    )
    .addHelpText(
      'after',
      examplesText([
        'backup restore /mnt/backup/berth --data /srv/berth-new',
        'backup restore /mnt/backup/berth --data /srv/berth-new --name 20261124T020000Z-1f2e',
      ]),
    )
    .action((source: string, options: RestoreOptions) => restore(source, options, context));
}

async function create({ api, args: [folder], options, context }: Call<CreateOptions>): Promise<void> {
  const destination = folder === undefined ? undefined : serverPath(api.door, folder, 'DESTINATION', context);
  const { keep, verify } = options;
  const request = { kind: 'backup', destination, keep: countOf(keep), verify };
  const operation = await runOperation(api, request, context);
  if (options.json) printJson(operation, context);
  assertDone(operation);
  context.finish(exitCodeFor(operation));
  if (options.quiet) context.stdout.write(`${operation.report?.name}\n`);
  else if (!options.json) context.stdout.write(reportText(operation, context));
}

function countOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  const message = `--keep: found ${JSON.stringify(text)}, allowed: a number from 1 on`;
  throw new CommandError(exitCodes.wrongUsage, message);
}
