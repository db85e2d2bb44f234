// The care of the store in the status: what is held, and when it was last collected, scrubbed and backed up.
import { sizeText } from '../size-text.ts';
import { distanceText } from './text.ts';

interface LastRun {
  readonly id: number;
  readonly state: string;
  readonly endedAt: string | null;
}

/** Members of GET /api/v1/status. */
export interface CareStatus {
  readonly collector: {
    readonly enabled: boolean;
    readonly nextAt: string | null;
    readonly last: LastRun | null;
    readonly held: readonly {
      readonly reason: string;
      readonly bytes: number;
      readonly freeBy?: string | null;
    }[];
  };
  readonly scrub: { readonly oldestCheckAt: string | null; readonly last: LastRun | null };
  readonly backup: {
    readonly destination: string | null;
    readonly nextAt: string | null;
    readonly last: LastRun | null;
    readonly lastDoneAt: string | null;
  };
}

const heldWords: Readonly<Record<string, string>> = {
  undelete: 'deleted and restorable',
  lease: 'pushed, deleted or seen by clients not long ago',
};

/** A line for each, as printFacts takes them. */
export function careFacts(
  { collector, scrub, backup }: CareStatus,
  now: number = Date.now(),
): readonly (readonly [name: string, value: string | undefined])[] {
  const held = collector.held.map(({ reason, bytes, freeBy }) => {
    const until = freeBy ? ` (free ${distanceText(freeBy, 'never', now)})` : '';
    return `${sizeText(bytes)} ${heldWords[reason] ?? reason}${until}`;
  });
  const when = (time: string | null): string => distanceText(time, 'never', now);
  const next = (time: string | null): string => (time === null ? '' : `; next ${when(time)}`);
  const done = backup.lastDoneAt === null ? 'none yet' : `last ${when(backup.lastDoneAt)}`;
  return [
    ['held', held.length === 0 ? undefined : held.join(', ')],
    ['collected', `${lastText(collector.last, now)}${next(collector.nextAt)}`],
    ['scrubbed', scrub.oldestCheckAt === null ? undefined : `oldest check ${when(scrub.oldestCheckAt)}`],
    [
      'backup',
      backup.nextAt === null && backup.lastDoneAt === null
        ? 'none scheduled (backup.schedule)'
        : `${done}${next(backup.nextAt)}`,
    ],
  ];
}

function lastText(last: LastRun | null, now: number): string {
  if (last === null) return 'never';
  if (last.endedAt === null) return `${last.state} now (berth operation show ${last.id})`;
  const ended = distanceText(last.endedAt, 'never', now);
  return last.state === 'done' ? ended : `${last.state} ${ended} (berth operation show ${last.id})`;
}
