// Who may do what. The guard asks here, before any body is read.
import type { RepositoryName } from '../oci/name.ts';
import type { Role } from '../storage/account-store.ts';
import type { Repository } from '../storage/metadata-store.ts';

/**
 * What a route under /v2 (and the few beside it) needs. `none` is for what anybody may have (health, the start page, method
 * errors), `session` for an upload session of one's own: it needs push, and its DELETE too.
 */
export const actions = ['none', 'ping', 'pull', 'push', 'delete', 'catalog', 'search', 'metrics'] as const;
export type Action = (typeof actions)[number];

/** The role on a repository that an action takes. */
export const roleForAction = { pull: 'read', push: 'write', delete: 'maintain' } as const satisfies Partial<
  Record<Action, Role>
>;

/** What a token from /token carries for one repository; registry:catalog:* is `catalog`. */
export interface TokenScopes {
  readonly repositories: ReadonlyMap<string, ReadonlySet<'pull' | 'push' | 'delete'>>;
  readonly catalog: boolean;
}

/** The bounds that a credential puts on its bearer. */
export interface Ceiling {
  readonly role: Role | undefined;
  readonly patterns: readonly string[] | undefined;
}

/** How somebody proved who he is. */
export type Proof =
  /** `passwordGeneration`: which of the passwords that the user ever had; the next one voids what this one obtained. */
  | { readonly kind: 'password'; readonly passwordGeneration: number }
  /** A personal or robot token, a session or a refresh token, by the id of its row. */
  | { readonly kind: 'personal' | 'robot' | 'session' | 'refresh'; readonly credentialId: number }
  /** An access token of /token; it names the credential or else the password that it was obtained with. */
  | {
      readonly kind: 'bearer';
      readonly credentialId: number | undefined;
      readonly passwordGeneration: number | undefined;
      readonly scopes: TokenScopes;
    };

/** Who is asking. `name` goes into history, events and logs, and owns upload sessions. */
export type Principal =
  /** `scopes`: with an anonymous token. `everything`: access mode `open`. */
  | {
      readonly kind: 'anonymous';
      readonly name: string;
      readonly everything: boolean;
      readonly scopes: TokenScopes | undefined;
    }
  | {
      readonly kind: 'user' | 'robot';
      readonly name: string;
      readonly subjectId: number;
      readonly proof: Proof;
      readonly ceiling: Ceiling | undefined;
    }
  /** Whoever may open the socket in the data folder, or the folder itself: administrator. name: 'local:0(root)'. */
  | { readonly kind: 'local'; readonly name: string };

export type AnonymousPrincipal = Extract<Principal, { kind: 'anonymous' }>;

/** Mode `open`: everybody, and everything that is about content. */
export const openPrincipal: AnonymousPrincipal = {
  kind: 'anonymous',
  name: 'anonymous',
  everything: true,
  scopes: undefined,
};

/** Mode `token`, without credentials. */
export const anonymous: AnonymousPrincipal = { ...openPrincipal, everything: false };

/** What of a request tells who is asking and from where. */
export interface RequestFacts {
  readonly remoteAddress: string;
  /** The Host header as it came. */
  readonly host: string | undefined;
  /** True when Forwarded, X-Forwarded-* or Via is present: somebody else's request is being passed on. */
  readonly forwarded: boolean;
  /** True when a browser says that another site's page makes the request (Sec-Fetch-Site, else a foreign Origin). */
  readonly crossSite: boolean;
  /** The client's address, as trusted proxies tell it. */
  readonly clientAddress: string;
  readonly userAgent: string | undefined;
  readonly authorization: string | undefined;
  /** The value of the session cookie. */
  readonly sessionCookie: string | undefined;
  /** Who opened the management socket, 'local:0(root)'; undefined: the request came over the network. */
  readonly localUser: string | undefined;
}

export type Authentication =
  | { readonly outcome: 'principal'; readonly principal: Principal }
  /** Not from where it came, whatever it wants (403); the sentence says what to do. */
  | { readonly outcome: 'refused'; readonly reason: string }
  /** Credentials were given and are not good (401). `error` goes into the challenge of a bearer token. */
  | { readonly outcome: 'invalid'; readonly reason: string; readonly error: 'invalid_token' | undefined }
  /** Too many wrong passwords, or too many checks at once (429). */
  | { readonly outcome: 'throttled'; readonly retryAfterSeconds: number };

export type Decision =
  /** `servedAs`: the name asked for is an old one of this repository, which is read under it. */
  | { readonly outcome: 'allowed'; readonly servedAs?: RepositoryName }
  /** Nobody signed in, and signing in might help: 401 with the challenge. */
  | { readonly outcome: 'unauthenticated' }
  /** Signed in, and a fresh token would do: 401 with the challenge and error="insufficient_scope". */
  | { readonly outcome: 'insufficient-scope' }
  /** May not pull: as if it did not exist (404 for GET and HEAD; the sentence is for changes, 403). */
  | { readonly outcome: 'hidden'; readonly reason: string }
  /** May pull, may not do this: 403. */
  | { readonly outcome: 'denied'; readonly reason: string };

export interface Access {
  readonly mode: 'open' | 'token';
  authenticate(facts: RequestFacts): Promise<Authentication>;
  /** Whether `principal` may do `action`, on `repository` where the action is about one. Judged by today's policy. */
  decide(principal: Principal, action: Action, repository: RepositoryName | undefined): Promise<Decision>;
  /** A filter for lists: whether `principal` may see (pull) a repository, by today's policy and the token's scopes ignored. */
  visibility(principal: Principal): Promise<(repository: Pick<Repository, 'name' | 'visibility'>) => boolean>;
}
