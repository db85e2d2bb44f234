// Who may do what. The guard asks here, once a request, before any body is read.
import type { RepositoryName } from '../oci/name.ts';

/** What a route needs. `none` is for what anybody may have (health, the start page, method errors). */
export const actions = ['none', 'ping', 'pull', 'push', 'delete', 'catalog', 'search', 'metrics'] as const;
export type Action = (typeof actions)[number];

/** Who is asking. `name` goes into history, events and logs, and owns upload sessions. */
export interface Principal {
  readonly kind: 'anonymous';
  readonly name: string;
}

export const anonymous: Principal = { kind: 'anonymous', name: 'anonymous' };

/** What of a request tells who is asking and from where. */
export interface RequestFacts {
  readonly remoteAddress: string;
  /** The Host header as it came. */
  readonly host: string | undefined;
  /** True when Forwarded, X-Forwarded-* or Via is present: somebody else's request is being passed on. */
  readonly forwarded: boolean;
  /** True when a browser says that another site's page makes the request (Sec-Fetch-Site, else a foreign Origin). */
  readonly crossSite: boolean;
  readonly authorization: string | undefined;
}

/** `refused`: not from where it came, whatever it wants; the sentence says what to do. */
export type Decision = { readonly allowed: true } | { readonly allowed: false; readonly reason: string };

export interface Access {
  readonly mode: 'open' | 'token';
  /** Who is asking, or why the request is refused as a whole. */
  authenticate(facts: RequestFacts): Principal | { readonly refused: string };
  /** Whether `principal` may do `action`, on `repository` where the action is about one. */
  decide(principal: Principal, action: Action, repository: RepositoryName | undefined): Decision;
}
