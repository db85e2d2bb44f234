// `berth backup`: making a backup while people push; and, without a server, looking at backups and restoring one.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { BackupFolder, BackupFolderError, type BackupRecord } from '../../backup/backup-folder.ts';
import { assertDone, runOperation } from '../client/operations.ts';
import { serverPath } from '../client/server-paths.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { exitCodeFor, reportText } from '../output/care-reports.ts';
import { addOutputOptions, type OutputOptions, printJson, printList } from '../output/print.ts';
import { durationText, numberText } from '../output/progress.ts';
import { countText, distanceText } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { addGroup, type Call, define, examplesText } from './define.ts';

interface CreateOptions {
  readonly keep?: string;
  readonly verify?: boolean;
}

interface RestoreOptions {
  readonly data: string;
  readonly name?: string;
  readonly copy?: boolean;
  readonly json?: boolean;
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
      'one. Exit code 3 when blobs are damaged.',
    examples: ['backup create /mnt/backup/berth', 'backup create /mnt/backup/berth --keep 14 --verify'],
    options: (command) =>
      command
        .option('--keep <count>', 'remove older backups, so that so many stay')
        .option('--verify', 'read the whole backup once more at the end'),
    prints: 'one',
    quiet: 'the name of the backup alone',
    check: (_args, { keep }) => void countOf(keep),
    run: create,
  });
  addOutputOptions(
    group
      .command('list <folder>')
      .alias('ls')
      .description('the backups in a folder, oldest first; needs no server'),
    'list',
    'the names alone',
  )
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

async function list(given: string, options: OutputOptions, context: CommandContext): Promise<void> {
  const { folder, records } = await openFolder(given, context);
  const columns = [
    { head: 'BACKUP', text: ({ name }: BackupRecord) => name },
    { head: 'MADE', text: ({ finishedAt }: BackupRecord) => distanceText(finishedAt) },
    { head: 'BERTH', text: ({ version }: BackupRecord) => version },
    { head: 'REPOSITORIES', text: ({ repositories }: BackupRecord) => numberText(repositories) },
    { head: 'TAGS', text: ({ tags }: BackupRecord) => numberText(tags) },
    { head: 'BLOBS', text: ({ blobs }: BackupRecord) => numberText(blobs) },
    { head: 'SIZE', text: ({ blobBytes }: BackupRecord) => sizeText(blobBytes) },
    {
      head: 'DAMAGED',
      text: ({ damaged }: BackupRecord) => (damaged.length === 0 ? '' : `${damaged.length}`),
    },
  ];
  printList(records, { columns, key: ({ name }) => name, none: 'no backups' }, options, context);
  const partial = (await folder.listPartial()).length;
  if (partial > 0)
    context.stderr.write(`${countText(partial, 'backup')} cut short or being made; the next one tidies up\n`);
}

async function verify(
  given: string,
  name: string | undefined,
  options: OutputOptions,
  context: CommandContext,
): Promise<void> {
  const { folder, records } = await openFolder(given, context, name);
  const { verifyBackups } = await import('../../backup/verify.ts');
  const { sqliteSnapshots } = await import('../../storage/sqlite/snapshot.ts');
  const began = performance.now();
  const { runLocally } = await import('../output/local-work.ts');
  const report = await telling(() =>
    runLocally('verify', context, 'nothing was changed', (run) =>
      verifyBackups(folder, sqliteSnapshots, run, name),
    ),
  );
  const { faults, blobs, bytes } = report;
  if (faults.length > 0) context.finish(exitCodes.found);
  const { stdout } = context;
  if (options.json) printJson(report, context);
  else if (options.quiet)
    for (const digest of new Set(faults.map((one) => one.digest))) stdout.write(`${digest ?? 'database'}\n`);
  else {
    const what = `${countText(records.length, 'backup')}, ${countText(blobs, 'blob')} (${sizeText(bytes)})`;
    stdout.write(`verified ${what} in ${durationText((performance.now() - began) / 1000)}\n`);
    for (const { backup, digest, found, holders } of faults) {
      stdout.write(`damaged  ${backup}  ${digest ?? 'database'}: ${found}\n`);
      for (const { repository, tags } of holders)
        stdout.write(`  ${repository}: ${tags.join(', ') || 'untagged'}\n`);
    }
    stdout.write(faults.length === 0 ? 'all of it is good\n' : `${countText(faults.length, 'fault')}\n`);
  }
}

async function restore(given: string, options: RestoreOptions, context: CommandContext): Promise<void> {
  const { folder } = await openFolder(given, context, options.name);
  const target = resolve(context.folder, options.data);
  const { restoreBackup } = await import('../../backup/restore.ts');
  const { sqliteSnapshots } = await import('../../storage/sqlite/snapshot.ts');
  const { openDiskStore } = await import('../../storage/disk/disk-store.ts');
  const { runLocally } = await import('../output/local-work.ts');
  // What is written is for the folder's owner alone, whatever the shell's umask.
  process.umask(0o077);
  const failed = Promise.withResolvers<never>();
  const openStore = (at: string) => openDiskStore({ folder: at, onFatal: failed.reject });
  const began = performance.now();
  const report = await telling(() =>
    runLocally('restore', context, `${target} is half made, and no server starts on it: remove it`, (run) =>
      Promise.race([
        restoreBackup(
          { source: folder, target, name: options.name, copy: options.copy },
          { snapshots: sqliteSnapshots, openStore },
          run,
        ),
        failed.promise,
      ]),
    ),
  );
  const { backup, linked, copied, bytes, damaged } = report;
  if (damaged.length > 0) context.finish(exitCodes.found);
  if (options.json) {
    printJson(report, context);
    return;
  }
  const { stdout } = context;
  const ways =
    linked > 0 && copied === 0 ? 'linked' : linked === 0 ? 'copied' : `${numberText(linked)} linked`;
  stdout.write(
    `restored ${backup.name} (${distanceText(backup.finishedAt)}) into ${target}: ` +
      `${countText(backup.repositories, 'repository')}, ${countText(backup.tags, 'tag')}, ` +
      `${countText(linked + copied, 'blob')} (${sizeText(bytes)}, ${ways}) ` +
      `in ${durationText((performance.now() - began) / 1000)}\n`,
  );
  for (const { digest, found } of damaged)
    stdout.write(`damaged  ${digest}: ${found}; answered 404 until it is pushed again\n`);
  stdout.write(`start it with berth serve --data ${target}\n`);
}

/** Throws CommandError where there is no backup, or none of that name. */
async function openFolder(
  given: string,
  context: CommandContext,
  name?: string,
): Promise<{ folder: BackupFolder; records: readonly BackupRecord[] }> {
  const folder = new BackupFolder(resolve(context.folder, given));
  return telling(async () => {
    const owner = await folder.findInstance();
    const all = owner === undefined ? [] : await folder.list();
    const records = all.filter((record) => name === undefined || record.name === name);
    if (records.length > 0 || (owner !== undefined && name === undefined)) return { folder, records };
    const which = name === undefined ? '' : ` ${name}`;
    const why = existsSync(folder.path) ? `has no backup${which}` : 'does not exist';
    throw new CommandError(exitCodes.absent, `${folder.path} ${why}`);
  });
}

/** What a backup can be refused for, as a command's end. */
async function telling<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof CommandError || !(error instanceof Error)) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (error.name === 'FolderUsedError')
      throw new CommandError(exitCodes.refused, error.message, { cause: error });
    const told =
      error instanceof BackupFolderError ||
      code !== undefined ||
      /^(SchemaMismatch|DamagedDatabase)Error$/.test(error.name);
    if (!told) throw error;
    throw new CommandError(exitCodes.failed, error.message, { cause: error });
  }
}

function countOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  const message = `--keep: found ${JSON.stringify(text)}, allowed: a number from 1 on`;
  throw new CommandError(exitCodes.wrongUsage, message);
}
