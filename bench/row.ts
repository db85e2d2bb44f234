// What a row of the bench is, and how it is measured: both sides in turn, round by round, so that a machine that grows
// slower or faster meanwhile does so for both; the median of the rounds counts.
import type { Contender, Server } from './servers.ts';

export type Unit =
  | 'requests/s'
  | 'MB/s'
  | 'images/s'
  | 'ms'
  | 'MiB'
  | 'pages/s'
  | 'lists/s'
  | 'sign-ins/s'
  | 'times';

/** Either a ratio to the peer, or a bound on Berth's own value in the row's unit. */
export type Target =
  | { readonly timesPeer: number }
  | { readonly atMost: number }
  | { readonly atLeast: number };

export interface Side {
  readonly contender: Contender;
  /** Undefined in suites that start servers themselves. */
  readonly server: Server | undefined;
  /** A folder for suites that start servers themselves; it is removed after the suite. */
  readonly folder: string;
  /** What the suite's `prepare` left for its rows. */
  readonly notes: Map<string, string>;
}

export interface Sample {
  readonly value: number;
  /** What the load client itself used of one core, 0 to 1, where that was measured. */
  readonly clientLoad?: number;
}

export interface Row {
  /** What --only selects by, such as `manifest-tag-16`. */
  readonly id: string;
  readonly title: string;
  readonly unit: Unit;
  readonly better: 'more' | 'less';
  readonly target?: Target;
  /** Rounds where they differ from the usual number. */
  readonly rounds?: number;
  /** True when the peer need not, or cannot, be measured. */
  readonly berthOnly?: boolean;
  measure(side: Side, settings: Settings, round: number): Promise<Sample>;
}

export interface Suite {
  readonly id: string;
  readonly rows: readonly Row[];
  /** False when its rows start and stop their servers themselves; usually one pair serves the whole suite. */
  readonly sharedServers: boolean;
  /** Fills a fresh server with what the rows ask for. */
  prepare?(side: Side, settings: Settings): Promise<void>;
}

export interface Settings {
  readonly rounds: number;
  /** Length of one measurement of a rate. */
  readonly seconds: number;
  readonly bigBlobBytes: number;
  readonly parallelUploads: number;
  readonly tags: number;
}

export interface Result {
  readonly row: Row;
  readonly berth: readonly Sample[];
  readonly peer: readonly Sample[];
}

/** Measures `row` on both sides in turn, `rounds` times. A peer that cannot be measured gets no samples. */
export async function measureRow(row: Row, berth: Side, peer: Side, settings: Settings): Promise<Result> {
  const samples: { berth: Sample[]; peer: Sample[] } = { berth: [], peer: [] };
  for (let round = 0; round < (row.rounds ?? settings.rounds); round += 1) {
    samples.berth.push(await row.measure(berth, settings, round));
    if (row.berthOnly !== true) samples.peer.push(await row.measure(peer, settings, round));
  }
  return { row, ...samples };
}

/** The middle value of `samples`, or undefined when there are none. */
export function medianOf(samples: readonly Sample[]): number | undefined {
  const values = samples.map((sample) => sample.value).sort((one, other) => one - other);
  const upper = values[Math.floor(values.length / 2)];
  const lower = values[Math.floor((values.length - 1) / 2)];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}

/** How many times better Berth is than the peer: over 1 means better, whichever way the unit counts. */
export function ratioOf(result: Result): number | undefined {
  const own = medianOf(result.berth);
  const other = medianOf(result.peer);
  if (own === undefined || other === undefined || own === 0 || other === 0) return undefined;
  return result.row.better === 'more' ? own / other : other / own;
}

/** Whether the row's target is met; undefined when it has none or could not be judged. */
export function verdictOf(result: Result): boolean | undefined {
  const { target } = result.row;
  if (target === undefined) return undefined;
  if ('timesPeer' in target) {
    const ratio = ratioOf(result);
    return ratio === undefined ? undefined : ratio >= target.timesPeer;
  }
  const own = medianOf(result.berth);
  if (own === undefined) return undefined;
  return 'atMost' in target ? own <= target.atMost : own >= target.atLeast;
}

/** The server of a side whose suite shares one. */
export function serverOf(side: Side): Server {
  if (side.server === undefined)
    throw new Error(`${side.contender.name} has not been started for this suite`);
  return side.server;
}
