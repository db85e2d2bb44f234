// What the endpoints of the management API work with.
import type { HttpContext } from '../../context.ts';

/** One setting as it is in force. */
export interface SettingInForce {
  readonly path: string;
  /** As somebody wrote it, or the default; null: empty; a secret that is set is `(set)`. */
  readonly value: unknown;
  /** FILE:LINE, a variable, a flag, or `default`. */
  readonly source: string;
  /** The variable of the environment that sets it. */
  readonly variable: string;
}

export interface ApiContext extends HttpContext {
  /** The configuration in force, for people. */
  readonly settings: () => readonly SettingInForce[];
}
