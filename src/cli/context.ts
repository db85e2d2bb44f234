// What a command has of the process around it. Commands get it handed in, so that main.ts alone touches the process.
import type { Environment } from '../config/environment.ts';
import type { ExitCode } from './exit-codes.ts';

export interface Output {
  /** Bytes as they are, where a file is put out. `false`: whoever reads them is behind, and `drain` tells when there is room. */
  write(text: string | Uint8Array): unknown;
  once?(event: 'drain', act: () => void): unknown;
  readonly isTTY?: boolean;
}

/** Standard input; the last two are there on a terminal only. */
export type Input = NodeJS.ReadableStream & {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
};

export interface Surroundings {
  readonly environment: Environment;
  /** The folder that the command was called in. */
  readonly folder: string;
  readonly homeFolder: string;
  readonly userId: number;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
}

export interface CommandContext extends Surroundings {
  /** Sets what the process exits with when the command is over; 0 unless called. */
  finish(code: ExitCode): void;
}
