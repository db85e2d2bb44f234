// What the checks of `berth doctor` look at and what they find.
import type { RegistryAddress } from '../client/registry-address.ts';
import type { CommandContext } from '../context.ts';

/** What one check found. `skip`: it could not be tried, and why. */
export interface Finding {
  readonly state: 'ok' | 'warn' | 'fail' | 'skip';
  readonly check: string;
  readonly text: string;
}

/** What the checks look at. */
export interface Patient extends RegistryAddress {
  readonly context: CommandContext;
  /** How many bytes the upload check sends. */
  readonly uploadBytes: number;
}
