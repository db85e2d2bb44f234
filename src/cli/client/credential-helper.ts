// Programs that keep credentials in the system's key store (docker-credential-secretservice, -osxkeychain, -pass …), spoken to
// as docker and podman do: the action as argument, the host or a JSON object on stdin.
import { spawn } from 'node:child_process';
import type { Environment } from '../../config/environment.ts';
import { CommandError, exitCodes } from '../exit-codes.ts';

export interface HelperCredential {
  readonly user: string;
  readonly secret: string;
}

const longestRunMilliseconds = 30_000;

/** What the helper has for a host; undefined: nothing. Throws CommandError when the helper is missing or fails. */
export async function askHelper(
  helper: string,
  host: string,
  environment: Environment,
): Promise<HelperCredential | undefined> {
  const { code, stdout, stderr } = await runHelper(helper, 'get', host, environment);
  if (code !== 0) {
    // The only way helpers have of saying "none" (docker-credential-helpers, credentials/error.go).
    if (/credentials not found/i.test(stdout + stderr)) return undefined;
    throw failed(helper, (stdout + stderr).trim() || `exit code ${code}`);
  }
  try {
    const { Username: user, Secret: secret } = JSON.parse(stdout) as Record<string, unknown>;
    if (typeof user === 'string' && typeof secret === 'string') return { user, secret };
  } catch {
    // Said below, without the text: it may hold a secret.
  }
  throw failed(helper, 'its answer is not what credential helpers answer');
}

export async function storeWithHelper(
  helper: string,
  host: string,
  { user, secret }: HelperCredential,
  environment: Environment,
): Promise<void> {
  const input = JSON.stringify({ ServerURL: host, Username: user, Secret: secret });
  const { code, stdout, stderr } = await runHelper(helper, 'store', input, environment);
  if (code !== 0) throw failed(helper, (stdout + stderr).trim() || `exit code ${code}`);
}

/** False: it had nothing for the host. */
export async function eraseWithHelper(
  helper: string,
  host: string,
  environment: Environment,
): Promise<boolean> {
  const { code, stdout, stderr } = await runHelper(helper, 'erase', host, environment);
  if (code === 0) return true;
  if (/credentials not found/i.test(stdout + stderr)) return false;
  throw failed(helper, (stdout + stderr).trim() || `exit code ${code}`);
}

function runHelper(
  helper: string,
  action: string,
  input: string,
  environment: Environment,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  // The name becomes part of a program's name, and comes from a file.
  if (!/^[A-Za-z0-9._-]+$/.test(helper)) throw failed(helper, 'that is not a name');
  const ended = Promise.withResolvers<{ code: number | null; stdout: string; stderr: string }>();
  const child = spawn(`docker-credential-${helper}`, [action], {
    env: { ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: longestRunMilliseconds,
  });
  const printed = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (printed.stderr += text));
  child.on('error', (error: NodeJS.ErrnoException) =>
    ended.reject(failed(helper, error.code === 'ENOENT' ? 'it is not installed' : error.message)),
  );
  child.on('close', (code) => ended.resolve({ code, ...printed }));
  // A helper that ends without reading is judged by its exit code.
  child.stdin.on('error', () => undefined).end(input);
  return ended.promise;
}

function failed(helper: string, reason: string): CommandError {
  return new CommandError(exitCodes.failed, `credential helper docker-credential-${helper}: ${reason}`);
}
