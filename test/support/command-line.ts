// The command line in this process, against a server in this process: quick, where processes are not what is tested.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { run } from '../../src/cli/program.ts';

export interface Printed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Surroundings {
  readonly environment?: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly homeFolder?: string;
  readonly input?: string;
}

/** Runs one command line to its end. */
export async function runHere(args: readonly string[], surroundings: Surroundings = {}): Promise<Printed> {
  const { environment = {}, folder = '/nowhere', homeFolder = '/nowhere', input } = surroundings;
  const printed = { stdout: '', stderr: '' };
  const code = await run(args, {
    environment,
    folder,
    homeFolder,
    userId: process.getuid?.() ?? 0,
    stdin: Readable.from(input === undefined ? [] : [Buffer.from(input)]),
    stdout: { write: (text) => (printed.stdout += text) },
    stderr: { write: (text) => (printed.stderr += text) },
  });
  return { code, ...printed };
}

export interface CommandLine {
  /** Runs a command and gives what it prints on stdout; fails the test when it does not end with 0. */
  (...args: string[]): Promise<string>;
  /** Runs a command, however it ends. */
  tries(...args: string[]): Promise<Printed>;
  /** The same with something on stdin. */
  withInput(input: string): CommandLine;
  /** The same with other variables. */
  with(environment: Readonly<Record<string, string>>): CommandLine;
}

/** A command line whose commands reach the server that runs on the folder `data`, unless told otherwise. */
export function commandLine(surroundings: Surroundings & { readonly data: string }): CommandLine {
  const { data, homeFolder = '/nowhere' } = surroundings;
  // Credentials are kept in the runtime folder, which for root would be this machine's own.
  const environment = {
    BERTH_DATA: data,
    XDG_RUNTIME_DIR: join(homeFolder, 'runtime'),
    ...surroundings.environment,
  };
  const tries = (...args: string[]) => runHere(args, { ...surroundings, environment });
  const call = async (...args: string[]) => {
    const { code, stdout, stderr } = await tries(...args);
    assert.equal(code, 0, `berth ${args.join(' ')} ended with ${code}: ${stdout}${stderr}`);
    return stdout;
  };
  return Object.assign(call, {
    tries,
    withInput: (input: string) => commandLine({ ...surroundings, input }),
    with: (more: Readonly<Record<string, string>>) =>
      commandLine({ ...surroundings, environment: { ...surroundings.environment, ...more } }),
  });
}
