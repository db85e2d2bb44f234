// Bytes of a registry's answer, as they are: to stdout, or into a file that is there only once it is whole.
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { CommandContext, Output } from '../context.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';
import { escapeControls } from './text.ts';

/** Writes to stdout at the pace of whoever reads it, so that what is behind waits in the registry and not in memory. */
export async function put(stdout: Output, text: string | Uint8Array): Promise<void> {
  const isBehind = stdout.write(text) === false;
  if (!isBehind || stdout.once === undefined) return;
  await new Promise<void>((resolve) => stdout.once?.('drain', resolve));
}

/**
 * Writes an answer to stdout, at the pace of whoever reads it; to a terminal with control characters written out, because whoever made an image is not to steer the
 * terminal of who looks into it. Throws CommandError where the registry breaks it off.
 */
export async function writeStream(stream: AsyncIterable<unknown>, { stdout }: CommandContext): Promise<void> {
  const decoder = new TextDecoder();
  const shown = (text: string): string =>
    text
      .split(/([\t\n])/)
      .map(keepBlanks)
      .join('');
  try {
    for await (const part of stream) {
      if (stdout.isTTY === true) await put(stdout, shown(decoder.decode(part as Buffer, { stream: true })));
      else await put(stdout, part as Buffer);
    }
    if (stdout.isTTY === true) await put(stdout, shown(decoder.decode()));
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

function keepBlanks(text: string): string {
  return text === '\t' || text === '\n' ? text : escapeControls(text);
}

function brokenOff(cause: unknown): CommandError {
  const message =
    'the registry broke the answer off, so what came is not whole: something in the image is missing or damaged, or the ' +
    'connection failed. The log of the registry tells more';
  return new CommandError(exitCodes.failed, message, { cause });
}
