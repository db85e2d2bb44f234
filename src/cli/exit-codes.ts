// What the exit codes of `berth` mean; scripts rely on them.

export const exitCodes = {
  done: 0,
  /** Tried, and failed. */
  failed: 1,
  /** Wrong usage or configuration; nothing was tried. */
  wrongUsage: 2,
  /** Done, and something was found: damage, a failed check. */
  found: 3,
  /** Not signed in, or not allowed. */
  notAllowed: 4,
  /** Not there, or not to be seen. */
  absent: 5,
  /** Refused by state: exists, immutable, quota, read-only. */
  refused: 6,
  /** The registry cannot be reached. */
  unreachable: 7,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends a command: `message` goes to stderr and `code` is what the process exits with. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code: ExitCode;

  constructor(code: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
