// Gathers sign-ins in memory, so that no request without credentials causes a commit of its own: one account, address and
// outcome in one minute are one event, or two where the first was written before the minute was over.
import type { Clock } from '../storage/clock.ts';
import type { EventStore, SignIns as GatheredSignIns } from '../storage/metadata-store.ts';
import { isAccountName, parseRobotName } from './account-name.ts';
import { networkOf } from './network.ts';

type Gathered = { -readonly [Member in keyof GatheredSignIns]: GatheredSignIns[Member] };

/** From where somebody calls. */
export interface Caller {
  readonly address: string;
  readonly userAgent: string | undefined;
}

/** Stands for what people type into the field for the name that is none, a password perhaps. */
const notAName = '(not a name)';
/** In one minute; beyond it new ones are counted together. */
const mostKeys = 5000;
/** The same for one network: rows are made without signing in, and one machine must not fill the disk with them. */
const mostKeysOfNetwork = 100;
const others = '(others)';
const longestUserAgent = 200;

export class SignIns {
  readonly #events: Pick<EventStore, 'recordSignIns'>;
  readonly #clock: Clock;
  #gathered = new Map<string, Gathered>();
  /** Keys that were written already while their minute goes on: their rest waits for its end. */
  #written = new Set<string>();
  /** What this minute has had of keys, by network and altogether. */
  #minute = 0;
  #keys = 0;
  #keysOfNetworks = new Map<string, number>();

  constructor(events: Pick<EventStore, 'recordSignIns'>, clock: Clock) {
    this.#events = events;
    this.#clock = clock;
  }

  /** Counts one. `account` as it was given, whatever it is. */
  count(account: string, caller: Caller, outcome: 'allowed' | 'refused'): void {
    const now = Math.floor(this.#clock.unixSeconds());
    const one: Gathered = {
      at: now - (now % 60),
      account: isName(account) ? account : notAName,
      address: caller.address.slice(0, 64),
      userAgent: caller.userAgent?.slice(0, longestUserAgent),
      outcome,
      count: 1,
    };
    this.#add(this.#bound(one));
  }

  /** Writes what was gathered. `whole`: also the rest of this minute. What cannot be written is kept for the next time. */
  async flush({ whole }: { readonly whole: boolean } = { whole: false }): Promise<void> {
    const minute = Math.floor(this.#clock.unixSeconds() / 60) * 60;
    const due: Gathered[] = [];
    for (const [key, gathered] of this.#gathered) {
      if (!whole && gathered.at >= minute && this.#written.has(key)) continue;
      due.push(gathered);
      this.#gathered.delete(key);
    }
    if (due.length === 0) return;
    try {
      await this.#events.recordSignIns(due);
    } catch (error) {
      for (const missed of due) this.#add(missed);
      throw error;
    }
    this.#written = new Set([...this.#written].filter((key) => key.startsWith(`${minute} `)));
    for (const one of due) if (one.at >= minute) this.#written.add(keyOf(one));
  }

  // A new one of its minute as it is, or where there are too many already, as one of others.
  #bound(one: Gathered): Gathered {
    const key = keyOf(one);
    if (this.#gathered.has(key) || this.#written.has(key)) return one;
    if (one.at !== this.#minute) {
      this.#minute = one.at;
      this.#keys = 0;
      this.#keysOfNetworks = new Map();
    }
    if (this.#keys >= mostKeys) return { ...one, account: others, address: others, userAgent: undefined };
    const network = networkOf(one.address);
    const known = this.#keysOfNetworks.get(network) ?? 0;
    if (known >= mostKeysOfNetwork)
      return { ...one, account: others, address: network, userAgent: undefined };
    this.#keys++;
    this.#keysOfNetworks.set(network, known + 1);
    return one;
  }

  #add(one: Gathered): void {
    const key = keyOf(one);
    const gathered = this.#gathered.get(key);
    if (gathered === undefined) this.#gathered.set(key, { ...one });
    else gathered.count += one.count;
  }
}

function keyOf({ at, account, address, outcome }: GatheredSignIns): string {
  return `${at} ${outcome} ${account} ${address}`;
}

function isName(account: string): boolean {
  if (isAccountName(account)) return true;
  try {
    return parseRobotName(account).name === account;
  } catch {
    return false;
  }
}
