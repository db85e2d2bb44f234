// Access mode `open`: everybody on this machine may push and pull, as with registry:2 on a laptop. A request that was passed
// on by a proxy, or whose Host is not this machine (a web page with DNS rebinding), is refused unless openOnNetwork is set.
import { BlockList, isIP } from 'node:net';
import type { RepositoryName } from '../oci/name.ts';
import type { PolicyStore } from '../storage/account-store.ts';
import { type Access, type Action, type Decision, openPrincipal, type RequestFacts } from './access.ts';
import { movedSentence } from './refusals.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** True for an address of this machine's loopback, IPv4-mapped ones included. */
export function isLoopbackAddress(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && loopback.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

const localName = /^(?:[a-z0-9-]+\.)*localhost\.?$/;
const hostHeader = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/;

/** True when a Host header (name or address, with or without port) names this machine's loopback. */
export function isLoopbackHost(host: string): boolean {
  const name = hostHeader.exec(host.toLowerCase())?.[1];
  if (name === undefined) return false;
  return localName.test(name) || isLoopbackAddress(name.replace(/^\[(.*)\]$/, '$1'));
}

const howToOpen =
  'this registry is open to its own machine only. Set access.openOnNetwork: true to open it to the network, without any sign-in';

/** The policy of mode `open`. */
export function openAccess(options: {
  readonly openOnNetwork: boolean;
  readonly policy: Pick<PolicyStore, 'findMoved'>;
}): Access {
  return {
    mode: 'open',
    authenticate: async (facts) => {
      if (facts.localUser !== undefined)
        return { outcome: 'principal', principal: { kind: 'local', name: facts.localUser } };
      const reason = options.openOnNetwork ? undefined : refusalOf(facts);
      return reason === undefined
        ? { outcome: 'principal', principal: openPrincipal }
        : { outcome: 'refused', reason };
    },
    decide: (_principal, action, repository) => decide(options.policy, action, repository),
    visibility: async () => () => true,
  };
}

// One client asks much, from one address and for one host: the answer to the question before is often the answer to this one.
function repeating(judge: (text: string) => boolean): (text: string) => boolean {
  let text: string | undefined;
  let judged = false;
  return (next) => {
    if (next !== text) {
      judged = judge(next);
      text = next;
    }
    return judged;
  };
}

const comesFromLoopback = repeating(isLoopbackAddress);
const isForLoopback = repeating(isLoopbackHost);

// Everybody may everything; only an old name is read and nothing else.
async function decide(
  policy: Pick<PolicyStore, 'findMoved'>,
  action: Action,
  repository: RepositoryName | undefined,
): Promise<Decision> {
  const moved = repository && (await policy.findMoved(repository));
  if (repository === undefined || moved === undefined) return { outcome: 'allowed' };
  if (action === 'pull') return { outcome: 'allowed', servedAs: moved.name };
  return { outcome: 'denied', reason: movedSentence(repository, moved.name) };
}

function refusalOf(facts: RequestFacts): string | undefined {
  if (facts.forwarded) return `the request came through a proxy, and ${howToOpen}`;
  if (facts.host !== undefined && !isForLoopback(facts.host)) {
    return `the request is for host "${facts.host.slice(0, 100)}", and ${howToOpen}`;
  }
  if (!comesFromLoopback(facts.remoteAddress))
    return `the request came from another machine, and ${howToOpen}`;
  // A page of another site could otherwise fill this machine's disk: a POST needs no preflight.
  if (facts.crossSite) return `the request was made by a web page of another site, and ${howToOpen}`;
  return undefined;
}
