// The backups in the folder of the settings.
import { type Static, Type } from 'typebox';
import {
  BackupFolder,
  BackupFolderError,
  type BackupRecord,
  makerOf,
  type UnreadableBackup,
} from '../../../backup/backup-folder.ts';
import type { ApiContext } from './context.ts';
import { Problem } from './problem.ts';
import { list, type Routes } from './route.ts';
import { listOf, nullable, strict, time } from './schemas.ts';

const wholeBackup = strict({
  name: Type.String(),
  madeBy: strict({
    copy: Type.String({ description: 'A registry that was restored is another copy than the one before.' }),
    isThis: Type.Boolean({ description: 'Made by this registry: backup.keep counts these alone.' }),
    host: nullable(Type.String()),
  }),
  startedAt: time,
  finishedAt: time,
  version: Type.String({ description: 'Of the program that made it.' }),
  repositories: Type.Integer(),
  manifests: Type.Integer(),
  tags: Type.Integer(),
  blobs: Type.Integer(),
  size: Type.Integer({ description: 'Bytes of its blobs.' }),
  damaged: Type.Array(Type.String(), {
    description: 'Blobs of which the registry had no good bytes: a restore answers 404 for them.',
  }),
});

const unreadableBackup = strict({
  name: Type.String(),
  unreadable: Type.String({ description: 'Why: until it is mended or removed, no backup goes.' }),
});
const backupSchema = Type.Union([wholeBackup, unreadableBackup]);

export function backupRoutes(routes: Routes, context: ApiContext): void {
  const { destination } = context.config.backup;
  routes.declare('backups', 'GET', '/backups', {
    need: ['auditor'],
    summary: 'Backups in backup.destination, newest first; none where that is not set.',
    description:
      'Backups that went elsewhere are among the operations; `berth backup list FOLDER` reads any folder.',
    answers: { 200: listOf(backupSchema) },
    handle: async () => {
      const records = destination === undefined ? [] : await readFolder(destination);
      const copy = await context.registry.metadata.copy();
      const items = [...records].reverse().map((record) => showBackup(record, copy));
      return list({ items, next: undefined });
    },
  });
}

async function readFolder(path: string): Promise<readonly (BackupRecord | UnreadableBackup)[]> {
  try {
    return await new BackupFolder(path).listAll();
  } catch (error) {
    if (error instanceof BackupFolderError) throw new Problem('unavailable', error.message, { cause: error });
    throw error;
  }
}

function showBackup(record: BackupRecord | UnreadableBackup, own: string): Static<typeof backupSchema> {
  if ('unreadable' in record) return record;
  const copy = makerOf(record);
  const madeBy = { copy, isThis: copy === own, host: record.madeBy?.host ?? null };
  const { name, startedAt, finishedAt, version, repositories, manifests, tags, blobs, blobBytes } = record;
  const counts = { repositories, manifests, tags, blobs, size: blobBytes };
  return { name, madeBy, startedAt, finishedAt, version, ...counts, damaged: [...record.damaged] };
}
