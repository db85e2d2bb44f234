// What the endpoints of the management API work with.
import type { HostRules } from '../../../webhooks/allowed-hosts.ts';
import type { EventFeed } from '../../../webhooks/event-feed.ts';
import type { Webhooks } from '../../../webhooks/webhooks.ts';
import type { HttpContext } from '../../context.ts';
import type { Stopping } from '../../stopping.ts';

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
  readonly webhooks: Webhooks;
  /** Where webhooks may go. */
  readonly hookHosts: HostRules;
  readonly eventFeed: EventFeed;
  readonly stopping: Stopping;
  /** The configuration in force, for people. */
  readonly settings: () => readonly SettingInForce[];
}
