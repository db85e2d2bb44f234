// What can be wrong with a configuration: every fault says where it stands, what was found and what is allowed.

export interface Fault {
  /** Where to look: FILE:LINE, the name of a variable, or a flag. */
  readonly where: string;
  readonly message: string;
}

/** The configuration cannot be used; `faults` are all that is wrong with it, `message` the same as lines of text. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    super(faults.map(faultText).join('\n'));
    this.faults = faults;
  }
}

/** A fault as one line. */
export function faultText(fault: Fault): string {
  return `${fault.where}: ${fault.message}`;
}

/** How a value that is not allowed is shown in a fault: short, and texts in quotes so that spaces and types are seen. */
export function foundText(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a block of settings';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
