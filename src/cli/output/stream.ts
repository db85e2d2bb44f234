// Bytes of a registry's answer, as they are: to stdout, or into a file that is there only once it is whole.
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { CommandContext } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';

/** Writes an answer to stdout. Throws CommandError where the registry breaks it off. */
export async function writeStream(stream: IncomingMessage, { stdout }: CommandContext): Promise<void> {
  try {
    for await (const part of stream) stdout.write(part as Buffer);
  } catch (error) {
    throw brokenOff(error);
  }
}

/** Writes an answer to a file, in the place of what was there. Throws CommandError. */
export async function saveStream(
  stream: IncomingMessage,
  file: string,
  { folder }: CommandContext,
): Promise<{ readonly path: string; readonly bytes: number }> {
  const path = resolve(folder, file);
  const partial = `${path}.partial`;
  const target = createWriteStream(partial);
  try {
    await pipeline(stream, target);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    const { code, syscall, path: at } = error as NodeJS.ErrnoException;
    if (syscall === undefined || at === undefined) throw brokenOff(error);
    throw new CommandError(exitCodes.failed, `${path} cannot be written: ${code}`, { cause: error });
  }
  return { path, bytes: target.bytesWritten };
}

function brokenOff(cause: unknown): CommandError {
  const message =
    'the registry broke the answer off, so what came is not whole: something in the image is missing or damaged, or the ' +
    'connection failed. The log of the registry tells more';
  return new CommandError(exitCodes.failed, message, { cause });
}
