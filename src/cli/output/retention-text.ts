// What retention did, or would do, for people.
import type { RetentionCounts, RetentionItem, RetentionReport } from '../client/care-shapes.ts';
import { sizeText } from '../size-text.ts';
import { tableText } from './print.ts';
import { numberText } from './progress.ts';
import { countText } from './text.ts';

/** More are counted; --json has all. */
const itemsShown = 50;

const words: Readonly<Record<string, string>> = {
  noKeepTags: 'the policy keeps all tags',
  patterns: 'its pattern',
  protected: 'protected',
  lease: 'pushed or used just now',
  delay: 'younger than delay',
  referrer: 'belongs to something that stays',
  deleteReferrersOff: 'deleteReferrers is off',
  listed: 'an index lists it',
  deleteUntaggedOff: 'deleteUntagged is off',
  meanwhile: 'changed or pulled meanwhile',
  noPatternMatches: 'no pattern matches',
  noRuleKeeps: 'no rule keeps it',
  deleteUntagged: 'no tag (deleteUntagged)',
  deleteReferrers: 'what it belongs to is gone (deleteReferrers)',
  child: 'part of an index that goes',
};

/** Why something goes or stays; the words of the rules stand for themselves. */
export function reasonText({ because, rule }: Pick<RetentionItem, 'because' | 'rule'>): string {
  return because
    .map((reason) =>
      reason === 'protected' && rule !== null ? `protected (${rule})` : (words[reason] ?? reason),
    )
    .join(', ');
}

/** Tags and manifests as a table. */
export function itemsText(items: readonly RetentionItem[]): string {
  const rows = items.map((item) => [
    `${item.repository}${item.tag === null ? '' : `:${item.tag}`}`,
    item.digest.replace(/^(sha\d+:.{12}).*$/, '$1'),
    item.removes ? 'goes' : 'stays',
    reasonText(item),
  ]);
  return tableText(['IMAGE', 'DIGEST', 'WHAT', 'WHY'], rows);
}

/** One line that sums it up. */
export function countsText({ tags, manifests, bytes }: RetentionCounts, isForeseen: boolean): string {
  const verb = isForeseen ? 'would go' : tags.removed + manifests.removed === 1 ? 'has gone' : 'have gone';
  const what = `${countText(tags.removed, 'tag')} and ${countText(manifests.removed, 'manifest')} ${verb}`;
  return `${what}, ${numberText(tags.kept)} tags stay; ${sizeText(bytes)} come free when they can no longer be restored\n`;
}

export function retentionText(report: RetentionReport): string {
  const shown = report.items.slice(0, itemsShown);
  const more =
    report.moreItems || report.items.length > shown.length
      ? 'there is more: --json tells of 500 in full\n'
      : '';
  const table = shown.length === 0 ? '' : `${itemsText(shown)}${more}`;
  const dry = report.dryRun ? 'dry run: nothing was removed\n' : '';
  return `${table}${countsText(report, report.dryRun)}${dry}`;
}
