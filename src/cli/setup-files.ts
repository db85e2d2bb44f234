// Putting setup files where their readers look, without ever losing what somebody else wrote there.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { CommandError, exitCodes } from './exit-codes.ts';

export type Written = 'wrote' | 'unchanged';

/**
 * Writes `text` to `file`, with its folder. A file that says something else is replaced with `replace`, and otherwise left
 * and refused with exit code 6.
 */
export function writeSetupFile(file: string, text: string, options: { replace: boolean }): Written {
  const present = readIfThere(file);
  if (present === text) return 'unchanged';
  if (present !== undefined && !options.replace) {
    const message = `${file} is there already and differs; move it away, or compare it with what is printed without --write`;
    throw new CommandError(exitCodes.refused, message);
  }
  replaceFile(file, text);
  return 'wrote';
}

/**
 * Adds `registry` to "insecure-registries" of docker's daemon.json and keeps everything else in it. Throws CommandError
 * (exit code 6) when the file is not what docker could read.
 */
export function addInsecureRegistry(file: string, registry: string): Written {
  const present = readIfThere(file);
  const settings = parseDaemonFile(present ?? '{}', file);
  const listed = settings['insecure-registries'] ?? [];
  if (!Array.isArray(listed)) {
    throw new CommandError(
      exitCodes.refused,
      `${file} has an "insecure-registries" that is no list; left as it is`,
    );
  }
  if (listed.includes(registry)) return 'unchanged';
  const indent = /^\{\r?\n([ \t]+)"/.exec(present ?? '')?.[1] ?? '  ';
  const changed = { ...settings, 'insecure-registries': [...listed, registry] };
  replaceFile(file, `${JSON.stringify(changed, undefined, indent)}\n`);
  return 'wrote';
}

function parseDaemonFile(text: string, file: string): Record<string, unknown> {
  try {
    // Docker takes an empty file for an empty object.
    const parsed: unknown = JSON.parse(text.trim() === '' ? '{}' : text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
  } catch (error) {
    const message = `${file} is not valid JSON, so it is left as it is: ${(error as Error).message}`;
    throw new CommandError(exitCodes.refused, message, { cause: error });
  }
  throw new CommandError(exitCodes.refused, `${file} is not a JSON object, so it is left as it is`);
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw asFailure(file, error);
  }
}

/** A reader sees the old file or the new one, never a part. The old one's mode is kept, and a link stays one. */
function replaceFile(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    const target = existsSync(file) ? realpathSync(file) : file;
    const mode = statSync(target, { throwIfNoEntry: false })?.mode ?? 0o644;
    const beside = `${target}.berth-new`;
    writeFileSync(beside, text, { mode: mode & 0o777 });
    renameSync(beside, target);
  } catch (error) {
    throw asFailure(file, error);
  }
}

function asFailure(file: string, error: unknown): CommandError {
  const { code, message } = error as NodeJS.ErrnoException;
  const reason = code === 'EACCES' || code === 'EPERM' ? 'this user may not; try it as root (sudo)' : message;
  return new CommandError(exitCodes.failed, `${file} cannot be written: ${reason}`, { cause: error });
}
