// What the endpoints of the management API work with.
import type { Authority } from '../../../auth/authority.ts';
import type { Clock } from '../../../storage/clock.ts';
import type { HttpContext } from '../../context.ts';

/** One setting as it is in force. */
export interface SettingInForce {
  readonly path: string;
  /** As somebody wrote it, or the default; a secret that is set is `(set)`. */
  readonly value: unknown;
  /** FILE:LINE, a variable, a flag, or `default`. */
  readonly source: string;
}

export interface ApiContext extends HttpContext {
  readonly authority: Authority;
  readonly clock: Clock;
  /** The configuration in force, for people. */
  readonly settings: () => readonly SettingInForce[];
}
