// The checks of `berth doctor` on the data folder of this machine: room, and whom it belongs to.
import { statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../config/config.ts';
import { findServer, findUnannounced } from '../client/door.ts';
import type { CommandContext } from '../context.ts';
import { sizeText } from '../size-text.ts';
import type { Finding } from './finding.ts';

export async function* checkFolder(config: Config, context: CommandContext): AsyncGenerator<Finding> {
  const { bavail, blocks, bsize } = await statfs(config.data);
  const free = bavail * bsize;
  const { share, bytes } = config.storage.keepFree;
  const kept = Math.min(share * blocks * bsize, bytes);
  const room = `${sizeText(free)} of ${sizeText(blocks * bsize)} free in ${config.data}`;
  yield free < kept
    ? { state: 'fail', check: 'disk', text: `${room}; below ${sizeText(kept)} pushes are refused` }
    : { state: free < 2 * kept ? 'warn' : 'ok', check: 'disk', text: room };
  yield checkOwner(config.data);
  yield await checkSocket(config, context);
}

/** The database is the server's own user's alone. */
function checkOwner(folder: string): Finding {
  const check = 'permissions';
  const { uid, mode } = statSync(folder);
  const database = statSync(join(folder, 'berth.db'), { throwIfNoEntry: false });
  if (database !== undefined && database.uid !== uid) {
    const text = `the folder belongs to user ${uid} and berth.db in it to user ${database.uid}: chown -R ${uid} ${folder}`;
    return { state: 'fail', check, text };
  }
  // Who may not enter the folder reads nothing in it, whatever the file says.
  const open = (mode & 0o001) !== 0 && database !== undefined && (database.mode & 0o004) !== 0;
  return open
    ? {
        state: 'fail',
        check,
        text: `everybody on this machine may read the database: chmod -R o-rwx ${folder}`,
      }
    : { state: 'ok', check, text: `${folder} belongs to user ${uid}, and nobody else reads the database` };
}

async function checkSocket(config: Config, context: CommandContext): Promise<Finding> {
  const check = 'server';
  try {
    const door = (await findServer(config, context)) ?? (await findUnannounced(config, context));
    return door === undefined
      ? { state: 'warn', check, text: 'no server answers on the socket of this folder' }
      : { state: 'ok', check, text: `answers on ${door.target.socketPath}` };
  } catch (error) {
    return { state: 'skip', check, text: (error as Error).message };
  }
}
