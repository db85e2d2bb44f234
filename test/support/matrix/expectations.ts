// What each route asks for, written down by hand from the description of the interfaces, and what follows from it for each
// asker. The code under test has tables of its own; these must not be made from those.
import type { Asker, NamespaceName } from './world.ts';

/** A line a route and method. Every other method of a path that is listed is answered 405. */
const lines = `
GET,HEAD /livez [none]
GET,HEAD /readyz [none]
GET /metrics [none]
GET / [none]
GET /-/setup/:client [none]
GET,POST /token [token]
GET /.well-known/jwks.json [none]
GET /v1/_ping [none]
GET /v1/search [search]
GET,HEAD /v2/ [ping]
GET,HEAD /v2 [none]
GET /v2/_oci/ext/discover [ping]
GET /v2/_catalog [catalog]
GET /v2/:name/tags/list [pull]
GET,HEAD /v2/:name/manifests/:reference [pull]
PUT /v2/:name/manifests/:reference [push]
DELETE /v2/:name/manifests/:reference [delete]
GET,HEAD /v2/:name/blobs/:digest [pull]
DELETE /v2/:name/blobs/:digest [delete]
POST /v2/:name/blobs/uploads/ [push]
POST /v2/:name/blobs/uploads [push]
GET,PATCH,PUT,DELETE /v2/:name/blobs/uploads/:upload [push]
GET /v2/:name/referrers/:digest [pull]
GET /extensions/v2/:name/signatures/:digest [pull]
PUT /extensions/v2/:name/signatures/:digest [push]

GET /api/v1 [anyone]
GET /api/v1/openapi.json [anyone]
GET /api/v1/docs [anyone]
GET /api/v1/status [auditor]
GET /api/v1/config [auditor]
PUT /api/v1/read-only [administrator]
GET /api/v1/keys [auditor]
POST /api/v1/keys [administrator]

GET /api/v1/me [signed-in]
PUT /api/v1/set-password [anyone]
PUT /api/v1/me/password [self]
GET /api/v1/users [administrator, auditor]
POST /api/v1/users [administrator]
GET /api/v1/users/:user [self, administrator, auditor]
PATCH /api/v1/users/:user [self, administrator]
DELETE /api/v1/users/:user [administrator]
PUT /api/v1/users/:user/password [administrator]
POST /api/v1/users/:user/disable [administrator]
POST /api/v1/users/:user/enable [administrator]
POST /api/v1/users/import [administrator]
GET /api/v1/users/:user/tokens [self, administrator]
POST /api/v1/users/:user/tokens [self]
DELETE /api/v1/users/:user/tokens/:id [self, administrator]
GET /api/v1/users/:user/sessions [self, administrator]
DELETE /api/v1/users/:user/sessions [self, administrator]
DELETE /api/v1/users/:user/sessions/:id [self, administrator]
POST /api/v1/sessions [anyone]
DELETE /api/v1/sessions/current [signed-in]
GET /api/v1/namespaces [signed-in]
GET /api/v1/namespaces/:namespace [read]
PATCH /api/v1/namespaces/:namespace [admin]
POST /api/v1/organizations [administrator]
POST /api/v1/organizations/:organization/restore [administrator]
DELETE /api/v1/organizations/:organization [owner]
GET /api/v1/organizations/:organization/members [member]
PUT /api/v1/organizations/:organization/members/:user [owner]
DELETE /api/v1/organizations/:organization/members/:user [owner, self]
GET /api/v1/organizations/:organization/teams [member]
POST /api/v1/organizations/:organization/teams [owner]
DELETE /api/v1/organizations/:organization/teams/:team [owner]
GET /api/v1/organizations/:organization/teams/:team/members [member]
PUT,DELETE /api/v1/organizations/:organization/teams/:team/members/:user [owner]
GET,POST /api/v1/namespaces/:namespace/robots [admin]
GET,PATCH,DELETE /api/v1/namespaces/:namespace/robots/:robot [admin]
GET,POST /api/v1/namespaces/:namespace/robots/:robot/tokens [admin]
DELETE /api/v1/namespaces/:namespace/robots/:robot/tokens/:id [admin]
GET,POST /api/v1/namespaces/:namespace/grants [admin-of-part]
DELETE /api/v1/namespaces/:namespace/grants/:id [admin-of-part]
GET /api/v1/grants [administrator, auditor]
POST /api/v1/grants [administrator]
DELETE /api/v1/grants/:id [administrator]
GET /api/v1/access [signed-in]
GET /api/v1/audit [auditor, admin]
GET /api/v1/audit/export [auditor]

GET /api/v1/operations [administrator, auditor]
POST /api/v1/operations [administrator]
GET /api/v1/operations/:id [administrator, auditor]
GET /api/v1/operations/:id/events [administrator, auditor]
POST /api/v1/operations/:id/pause [administrator]
POST /api/v1/operations/:id/resume [administrator]
POST /api/v1/operations/:id/cancel [administrator]
GET /api/v1/damage [auditor]
GET /api/v1/quotas [auditor]
PUT /api/v1/quota [administrator]
PUT /api/v1/namespaces/:namespace/quota [administrator]
GET /api/v1/usage [administrator, auditor]
GET /api/v1/namespaces/:namespace/usage [read]
GET /api/v1/namespaces/:namespace/protection-rules [read]
PUT /api/v1/namespaces/:namespace/protection-rules [maintain]
GET /api/v1/namespaces/:namespace/retention-rules [read]
PUT /api/v1/namespaces/:namespace/retention-rules [maintain]
POST /api/v1/namespaces/:namespace/retention-preview [maintain]
GET,POST /api/v1/namespaces/:namespace/retention-runs [maintain]
GET /api/v1/namespaces/:namespace/retention-runs/:id [maintain]
POST /api/v1/namespaces/:namespace/retention-runs/:id/cancel [maintain]
GET /api/v1/repositories [filtered]
POST /api/v1/repositories [signed-in]
GET /api/v1/repositories/:repository [read]
PATCH /api/v1/repositories/:repository [maintain]
DELETE /api/v1/repositories/:repository [admin]
GET /api/v1/repositories/:repository/-/aliases [read]
DELETE /api/v1/repositories/:repository/-/aliases/:id [admin]
GET /api/v1/repositories/:repository/-/tags [read]
DELETE /api/v1/repositories/:repository/-/tags [maintain]
GET /api/v1/repositories/:repository/-/tags/:tag [read]
PUT /api/v1/repositories/:repository/-/tags/:tag [write]
PATCH,DELETE /api/v1/repositories/:repository/-/tags/:tag [maintain]
GET /api/v1/repositories/:repository/-/tags/:tag/history [read]
GET /api/v1/repositories/:repository/-/manifests [read]
DELETE /api/v1/repositories/:repository/-/manifests/:reference [maintain]
GET /api/v1/deleted [signed-in]
DELETE /api/v1/deleted/:id [administrator]
POST /api/v1/deleted/:id/restore [signed-in]
GET /api/v1/repositories/:repository/-/usage [read]
GET /api/v1/repositories/:repository/-/manifests/:reference [read]
GET /api/v1/repositories/:repository/-/manifests/:reference/raw [read]
GET /api/v1/repositories/:repository/-/manifests/:reference/config [read]
GET /api/v1/repositories/:repository/-/manifests/:reference/referrers [read]
GET /api/v1/repositories/:repository/-/manifests/:reference/files [read]
GET /api/v1/repositories/:repository/-/manifests/:reference/file [read]
GET /api/v1/repositories/:repository/-/archive [read]
GET /api/v1/backups [auditor]
GET,POST /api/v1/namespaces/:namespace/webhooks [admin]
GET,PATCH,DELETE /api/v1/namespaces/:namespace/webhooks/:id [admin]
POST /api/v1/namespaces/:namespace/webhooks/:id/test [admin]
GET /api/v1/namespaces/:namespace/webhooks/:id/deliveries [admin]
POST /api/v1/namespaces/:namespace/webhooks/:id/deliveries/:delivery/redeliver [admin]
GET /api/v1/events [signed-in]
`;

export interface Expectation {
  readonly method: string;
  readonly url: string;
  readonly needs: readonly string[];
}

/** By 'GET /v2/'. */
export const expectations: ReadonlyMap<string, Expectation> = new Map(
  lines
    .split('\n')
    .map((line) => /^([A-Z,]+) (\S+) \[([a-z, -]+)\]$/.exec(line))
    .flatMap((match) => {
      const [, methods = '', url = '', needs = ''] = match ?? [];
      return methods
        .split(',')
        .filter((method) => method !== '')
        .map((method): [string, Expectation] => [
          `${method} ${url}`,
          { method, url, needs: needs.split(', ') },
        ]);
    }),
);

export type Verdict =
  | 'allowed'
  | 'unauthenticated'
  /** 401 with error="insufficient_scope". */
  | 'insufficient'
  | 'denied'
  /** As if it were not there. */
  | 'hidden';

const rank = { read: 1, write: 2, maintain: 3, admin: 4 } as const;
type Role = keyof typeof rank;

function includes(held: Role | undefined, needed: Role): boolean {
  return held !== undefined && rank[held] >= rank[needed];
}

// ── /v2 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const roleForAction: Record<string, Role> = { pull: 'read', push: 'write', delete: 'maintain' };
const scopesForAction: Record<string, readonly string[]> = {
  pull: ['pull'],
  push: ['pull', 'push'],
  delete: ['delete'],
};

/** The role of an asker on a repository, by its key. */
export function roleOn(asker: Asker, repository: string): Role | undefined {
  if (asker.credentials === 'void') return undefined;
  if (repository === 'app') return asker.app;
  if (repository === 'new') return asker.acme;
  if (asker.shop !== undefined) return asker.shop;
  if (!asker.everywhere) return undefined;
  if (repository === 'public') return 'read';
  if (repository === 'internal' && asker.credentials === 'good' && !asker.guest) return 'read';
  return undefined;
}

export function verdictOnRepository(
  asker: Asker,
  action: string,
  repository: string,
  method: string,
): Verdict {
  if (asker.credentials === 'void') return 'unauthenticated';
  const role = roleOn(asker, repository);
  if (includes(role, roleForAction[action] ?? 'admin')) {
    const carried = repository === 'app' ? asker.carries : [];
    const isCarried = scopesForAction[action]?.every((scope) => carried?.includes(scope));
    return asker.carries === undefined || isCarried ? 'allowed' : 'insufficient';
  }
  if (asker.credentials === 'nobody') return 'unauthenticated';
  if (role !== undefined) return 'denied';
  return method === 'GET' || method === 'HEAD' ? 'hidden' : 'denied';
}

export function verdictOnAction(asker: Asker, action: string): Verdict {
  if (action === 'none') return 'allowed';
  if (asker.credentials === 'void') return 'unauthenticated';
  if (asker.credentials === 'good') return 'allowed';
  return action === 'search' ? 'hidden' : 'unauthenticated';
}

// ── /api/v1 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Target {
  readonly namespace: NamespaceName | undefined;
  readonly user: string | undefined;
}

/** Whether an asker may know that a namespace is there. */
export function seesNamespace(asker: Asker, namespace: string): boolean {
  if (asker.credentials === 'void') return false;
  if (asker.registryRole !== 'user') return true;
  const hasSomething =
    (namespace === 'acme' && (asker.acme !== undefined || asker.app !== undefined)) ||
    (namespace === 'shop' && asker.shop !== undefined) ||
    asker.memberOf.includes(namespace);
  if (hasSomething) return true;
  if (!asker.everywhere) return false;
  return namespace === 'hall' || (namespace === 'yard' && asker.credentials === 'good' && !asker.guest);
}

function isMet(need: string, asker: Asker, { namespace = 'nope', user }: Target, reads: boolean): boolean {
  const role = { acme: asker.acme, shop: asker.shop, nope: undefined, hall: undefined, yard: undefined }[
    namespace
  ];
  const owns = asker.ownerOf.includes(namespace);
  switch (need) {
    case 'anyone':
      return true;
    case 'signed-in':
      return asker.credentials === 'good';
    case 'self': {
      const reaches = asker.account === 'change' || (reads && asker.account === 'read');
      const isSelf = user === undefined || user === asker.name;
      return asker.credentials === 'good' && asker.kind === 'user' && isSelf && reaches;
    }
    case 'member':
      return asker.memberOf.includes(namespace);
    case 'owner':
      return owns;
    case 'read':
      return seesNamespace(asker, namespace);
    case 'maintain':
      return includes(role, 'maintain') || owns;
    case 'admin':
      return role === 'admin' || owns;
    case 'admin-of-part':
      return role === 'admin' || owns || (namespace === 'acme' && asker.app === 'admin');
    default:
      return false;
  }
}

/** Of what is about one repository, by its key. */
export function verdictOnManagedRepository(
  { method, needs }: Expectation,
  asker: Asker,
  repository: string,
): Verdict {
  if (asker.credentials === 'void' || asker.carries !== undefined) return 'unauthenticated';
  if (asker.registryRole === 'administrator') return 'allowed';
  if (asker.registryRole === 'auditor' && method === 'GET') return 'allowed';
  const role = roleOn(asker, repository);
  if (needs.some((need) => includes(role, need as Role))) return 'allowed';
  if (asker.credentials === 'nobody') return 'unauthenticated';
  return role === undefined ? 'hidden' : 'denied';
}

export function verdictOnApi({ method, needs }: Expectation, asker: Asker, target: Target): Verdict {
  const reads = method === 'GET';
  if (needs.includes('anyone')) return 'allowed';
  // Access tokens of /token are for /v2.
  if (asker.credentials === 'void' || asker.carries !== undefined) return 'unauthenticated';
  if (needs.includes('filtered')) return 'allowed';
  const isSelfAlone = needs.length === 1 && needs[0] === 'self';
  if (asker.registryRole === 'administrator' && !isSelfAlone) return 'allowed';
  if (asker.registryRole !== 'user' && reads) return 'allowed';
  if (needs.some((need) => isMet(need, asker, target, reads))) return 'allowed';
  if (asker.credentials === 'nobody') return 'unauthenticated';
  if (target.namespace !== undefined) return seesNamespace(asker, target.namespace) ? 'denied' : 'hidden';
  const isOther = target.user !== undefined && target.user !== asker.name;
  return isOther && asker.registryRole === 'user' ? 'hidden' : 'denied';
}
