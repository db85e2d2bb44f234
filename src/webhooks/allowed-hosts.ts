// Where webhooks may go. The server sits inside of networks that whoever adds a webhook cannot reach: so an address has to be
// allowed by what it is, or by name, and is judged as it is connected to, whatever the name said before.
import { BlockList, isIP } from 'node:net';
import { addressFilter, unmapped } from '../auth/network.ts';

/** As `webhooks.allowedHosts` lists them: external, private, loopback, an address or block, a host name or *.example.com. */
export type AllowedHost = string;

/** What an address is. `special` is allowed by no word and no name, only as an address or block. */
export type AddressKind = 'external' | 'private' | 'loopback' | 'special';

const words: readonly string[] = ['external', 'private', 'loopback'];

const loopback = blocks('127.0.0.0/8', '::1/128');
const privates = blocks('10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7');
/** Special-purpose registries of IANA, addresses that embed others, and where clouds answer with credentials. */
const special = blocks(
  '0.0.0.0/8',
  '100.64.0.0/10',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/128',
  'fd00:ec2::254/128',
  'fd20:ce::254/128',
);
/** Of IPv6 only this is routed, and in it not everything leads to where it says. */
const globalUnicast = blocks('2000::/3');
const specialUnicast = blocks('2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20', '2620:4f:8000::/48');

/** What an IP address is. Throws nothing: a text that is none is special. */
export function kindOfAddress(address: string): AddressKind {
  const plain = unmapped(address);
  if (isIP(plain) === 0 || special(plain)) return 'special';
  if (loopback(plain)) return 'loopback';
  if (privates(plain)) return 'private';
  if (isIP(plain) === 4) return 'external';
  return globalUnicast(plain) && !specialUnicast(plain) ? 'external' : 'special';
}

export interface HostRules {
  /** Whether a connection may be made to `address`, which `host` (lower case) was looked up to or is. */
  allows(host: string, address: string): boolean;
}

/** The rules that a list of allowed hosts makes. */
export function hostRules(entries: readonly AllowedHost[]): HostRules {
  const kinds = new Set<string>(entries.filter((entry) => words.includes(entry)));
  const addresses = entries.filter((entry) => isIP(entry.split('/')[0] ?? '') !== 0);
  const inBlock = addressFilter(addresses);
  const names = entries
    .filter((entry) => !words.includes(entry) && !addresses.includes(entry))
    .map((entry) => entry.toLowerCase());
  return {
    allows(host, address) {
      const plain = unmapped(address);
      if (inBlock(plain)) return true;
      const kind = kindOfAddress(plain);
      if (kind === 'special') return false;
      return kinds.has(kind) || names.some((name) => matchesName(name, host));
    },
  };
}

/** *.example.com is every name below example.com, and not itself. A trailing dot of the host says nothing new. */
function matchesName(pattern: string, host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '');
  return pattern.startsWith('*.') ? name.endsWith(pattern.slice(1)) : name === pattern;
}

function blocks(...list: readonly string[]): (address: string) => boolean {
  const made = new BlockList();
  for (const block of list) {
    const [network = '', prefix] = block.split('/');
    made.addSubnet(network, Number(prefix), isIP(network) === 6 ? 'ipv6' : 'ipv4');
  }
  return (address) => made.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}
