// The backups in the folder of the settings.
import { Type } from 'typebox';
import { BackupFolder, BackupFolderError, type BackupRecord } from '../../../backup/backup-folder.ts';
import type { ApiContext } from './context.ts';
import { Problem } from './problem.ts';
import { list, type Routes } from './route.ts';
import { listOf, strict, time } from './schemas.ts';

const backupSchema = strict({
  name: Type.String(),
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
      return list({ items: [...records].reverse().map(showBackup), next: undefined });
    },
  });
}

async function readFolder(path: string): Promise<readonly BackupRecord[]> {
  try {
    return await new BackupFolder(path).list();
  } catch (error) {
    if (error instanceof BackupFolderError) throw new Problem('unavailable', error.message, { cause: error });
    throw error;
  }
}

function showBackup(record: BackupRecord) {
  const { name, startedAt, finishedAt, version, repositories, manifests, tags, blobs, blobBytes } = record;
  const counts = { repositories, manifests, tags, blobs, size: blobBytes };
  return { name, startedAt, finishedAt, version, ...counts, damaged: record.damaged };
}
