// `berth backup` without a server: looking at the backups of a folder, verifying, removing and restoring them.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  BackupFolder,
  BackupFolderError,
  type BackupRecord,
  makerOf,
  type UnreadableBackup,
} from '../../backup/backup-folder.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { type ConfirmOptions, confirm } from '../output/ask.ts';
import { type OutputOptions, printJson, printList } from '../output/print.ts';
import { durationText, numberText } from '../output/progress.ts';
import { countText, distanceText } from '../output/text.ts';
import { sizeText } from '../size-text.ts';

export interface RestoreOptions {
  readonly data: string;
  readonly name?: string;
  readonly copy?: boolean;
  readonly json?: boolean;
}

/** The backups in a folder. */
export async function list(given: string, options: OutputOptions, context: CommandContext): Promise<void> {
  const { folder, backups } = await openFolder(given, context);
  const column = (head: string, text: (record: BackupRecord) => string) => ({
    head,
    text: (backup: Backup) => ('unreadable' in backup ? '-' : text(backup)),
  });
  const columns = [
    { head: 'BACKUP', text: ({ name }: Backup) => name },
    column('MADE', ({ finishedAt }) => distanceText(finishedAt)),
    column('BY', byText),
    column('BERTH', ({ version }) => version),
    column('REPOSITORIES', ({ repositories }) => numberText(repositories)),
    column('TAGS', ({ tags }) => numberText(tags)),
    column('BLOBS', ({ blobs }) => numberText(blobs)),
    column('SIZE', ({ blobBytes }) => sizeText(blobBytes)),
    {
      head: 'DAMAGED',
      text: (backup: Backup) => {
        if ('unreadable' in backup) return `unreadable: ${backup.unreadable}`;
        return backup.damaged.length === 0 ? '' : `${backup.damaged.length}`;
      },
    },
  ];
  printList(backups, { columns, key: ({ name }) => name, none: 'no backups' }, options, context);
  if (backups.some((backup) => 'unreadable' in backup)) {
    context.finish(exitCodes.found);
    context.stderr.write(
      'one that is unreadable may need any of the blobs: put back what it lacks, or give it up with berth backup remove. ' +
        'Until then none is removed\n',
    );
  }
  const partial = (await folder.listPartial()).length;
  if (partial > 0)
    context.stderr.write(`${countText(partial, 'backup')} cut short or being made; the next one tidies up\n`);
}

/** Reads backups and tells what is wrong with them. */
export async function verify(
  given: string,
  name: string | undefined,
  options: OutputOptions,
  context: CommandContext,
): Promise<void> {
  const { folder, backups } = await openFolder(given, context, name);
  const { verifyUndisturbed } = await import('../../backup/verify.ts');
  const { sqliteSnapshots } = await import('../../storage/sqlite/snapshot.ts');
  const began = performance.now();
  const { runLocally } = await import('../output/local-work.ts');
  const report = await telling(() =>
    runLocally('verify', context, 'nothing was changed', (run) =>
      verifyUndisturbed(folder, sqliteSnapshots, run, name),
    ),
  );
  const { faults, blobs, bytes } = report;
  if (faults.length > 0) context.finish(exitCodes.found);
  const { stdout } = context;
  if (options.json) printJson(report, context);
  else if (options.quiet)
    for (const digest of new Set(faults.map((one) => one.digest))) stdout.write(`${digest ?? 'database'}\n`);
  else {
    const what = `${countText(backups.length, 'backup')}, ${countText(blobs, 'blob')} (${sizeText(bytes)})`;
    stdout.write(`verified ${what} in ${durationText((performance.now() - began) / 1000)}\n`);
    for (const { backup, digest, found, holders } of faults) {
      stdout.write(`damaged  ${backup}  ${digest === undefined ? '' : `${digest}: `}${found}\n`);
      for (const { repository, tags } of holders)
        stdout.write(`  ${repository}: ${tags.join(', ') || 'untagged'}\n`);
    }
    stdout.write(faults.length === 0 ? 'all of it is good\n' : `${countText(faults.length, 'fault')}\n`);
  }
}

/** Makes a data folder of a backup. */
export async function restore(
  given: string,
  options: RestoreOptions,
  context: CommandContext,
): Promise<void> {
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

/** Removes backups by name. */
export async function remove(
  given: string,
  names: readonly string[],
  options: ConfirmOptions,
  context: CommandContext,
): Promise<void> {
  const { folder, backups } = await openFolder(given, context);
  const unknown = names.find((name) => !backups.some((backup) => backup.name === name));
  if (unknown !== undefined)
    throw new CommandError(exitCodes.absent, `${folder.path} has no backup ${unknown}`);
  const left = backups.filter(({ name }) => !names.includes(name)).length;
  const what = `${countText(new Set(names).size, 'backup')} of ${folder.path}; ${left} would stay`;
  if (options.dryRun) {
    context.stdout.write(`would remove ${what}\n`);
    return;
  }
  await confirm(`Remove ${what}?`, options, context);
  const { removeUndisturbed } = await import('../../backup/prune.ts');
  const { sqliteSnapshots } = await import('../../storage/sqlite/snapshot.ts');
  const { runLocally } = await import('../output/local-work.ts');
  const { removed, blobs, bytes, heldBy } = await telling(() =>
    runLocally('removal', context, 'what stays is whole', (run) =>
      removeUndisturbed(folder, names, sqliteSnapshots, run),
    ),
  );
  if (heldBy !== undefined)
    throw new CommandError(exitCodes.refused, `nothing was removed: backups are read by ${heldBy}`);
  const gone = `${countText(removed.length, 'backup')}, ${countText(blobs, 'blob')} (${sizeText(bytes)})`;
  context.stdout.write(`removed ${gone}; ${left} left\n`);
}

type Backup = BackupRecord | UnreadableBackup;

/** The machine, and the first characters of what tells this registry from a restored copy of it. */
function byText(record: BackupRecord): string {
  const short = makerOf(record).slice(0, 8);
  return record.madeBy === undefined ? short : `${record.madeBy.host} (${short})`;
}

/** Throws CommandError where there is no backup, or none of that name. */
async function openFolder(
  given: string,
  context: CommandContext,
  name?: string,
): Promise<{ folder: BackupFolder; backups: readonly Backup[] }> {
  const folder = new BackupFolder(resolve(context.folder, given));
  return telling(async () => {
    const owner = await folder.findInstance();
    const all = owner === undefined ? [] : await folder.listAll();
    const backups = all.filter((backup) => name === undefined || backup.name === name);
    if (backups.length > 0 || (owner !== undefined && name === undefined)) return { folder, backups };
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
      /^(SchemaMismatch|DamagedDatabase|UnwritableFolder)Error$/.test(error.name);
    if (!told) throw error;
    throw new CommandError(exitCodes.failed, error.message, { cause: error });
  }
}
