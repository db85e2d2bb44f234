// Client addresses as the throttle counts them: an IPv6 customer has at least a /64, so that is what counts as one address.
import { BlockList, isIP, isIPv4 } from 'node:net';

/** The network that `address` is counted under: IPv4 itself, IPv6 its /64. Anything else is its own text, cut short. */
export function networkOf(address: string): string {
  const plain = address.replace(/%.*$/, '').toLowerCase();
  if (isIP(plain) !== 6) return plain.slice(0, 64);
  const groups = expand(plain);
  const mapped = embeddedIPv4(groups);
  return mapped ?? `${groups.slice(0, 4).map(hex).join(':')}::/64`;
}

/** `address` without its zone, and as IPv4 where IPv6 only carries one (::ffff:10.0.0.1); anything else as it is. */
export function unmapped(address: string): string {
  const plain = address.replace(/%.*$/, '').toLowerCase();
  return isIP(plain) === 6 ? (embeddedIPv4(expand(plain)) ?? plain) : plain;
}

/** The eight groups of an IPv6 address. */
function expand(address: string): readonly number[] {
  const dotted = /(?:^|:)(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1];
  const [one = 0, two = 0, three = 0, four = 0] = dotted?.split('.').map(Number) ?? [];
  const text =
    dotted === undefined
      ? address
      : `${address.slice(0, -dotted.length)}${hex(one * 256 + two)}:${hex(three * 256 + four)}`;
  const [before = '', after] = text.split('::');
  const parse = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const head = parse(before);
  const tail = after === undefined ? [] : parse(after);
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

// ::ffff:a.b.c.d, as a socket that listens on both families shows IPv4.
function embeddedIPv4(groups: readonly number[]): string | undefined {
  const [high = 0, low = 0] = groups.slice(6);
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  return isMapped ? [high >> 8, high & 255, low >> 8, low & 255].join('.') : undefined;
}

function hex(group: number): string {
  return group.toString(16);
}

/** Whether an address is among `entries`: addresses, CIDR blocks, and the word loopback. */
export function addressFilter(entries: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const entry of entries) {
    if (entry === 'loopback') {
      list.addSubnet('127.0.0.0', 8, 'ipv4');
      list.addAddress('::1', 'ipv6');
      continue;
    }
    const [network = '', prefix] = entry.split('/');
    const family = isIPv4(network) ? 'ipv4' : 'ipv6';
    if (prefix === undefined) list.addAddress(network, family);
    else list.addSubnet(network, Number(prefix), family);
  }
  return (address) => {
    const plain = address.replace(/%.*$/, '');
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4');
  };
}
