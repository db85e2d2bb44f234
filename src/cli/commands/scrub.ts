// `berth scrub`: whether everything still is what it was when it came, what damage touches, and how it heals.
import type { Command } from 'commander';
import type { Api } from '../client/api.ts';
import type { Damage } from '../client/care-shapes.ts';
import { assertDone, runOperation } from '../client/operations.ts';
import type { CommandContext } from '../context.ts';
import { exitCodes } from '../exit-codes.ts';
import { exitCodeFor, reportText } from '../output/care-reports.ts';
import { printJson } from '../output/print.ts';
import { distanceText, escapeControls, shortenDigests } from '../output/text.ts';
import { sizeText } from '../size-text.ts';
import { type Call, define } from './define.ts';

interface ScrubOptions {
  readonly deep?: boolean;
  readonly repair?: boolean;
}

/** Tags that are named for one repository; the rest is counted. */
const tagsNamed = 10;

export function addScrub(program: Command, context: CommandContext): void {
  define<ScrubOptions>(program, context, {
    usage: 'scrub',
    about: 'check every blob, file, manifest and the database',
    notes:
      'A damaged blob is quarantined: it is answered 404, so that the next push of an image with it brings the bytes again and\n' +
      'heals it. Exit code 3 when there is damage.',
    examples: ['scrub', 'scrub --deep', 'scrub --repair'],
    options: (command) =>
      command
        .option('--deep', 'read every byte, instead of looking at lengths')
        .option('--repair', 'mend what can be mended from what is there'),
    prints: 'one',
    quiet: 'the digests of damaged blobs alone',
    run: scrub,
  });
}

async function scrub({ api, options, context }: Call<ScrubOptions>): Promise<void> {
  const { deep = false, repair = false } = options;
  const operation = await runOperation(api, { kind: 'scrub', deep, repair }, context);
  const damage = operation.state === 'done' ? await api.list<Damage>('damage') : [];
  if (options.json) printJson({ ...operation, damage }, context);
  assertDone(operation);
  context.finish(damage.length > 0 ? exitCodes.found : exitCodeFor(operation));
  if (options.json) return;
  if (options.quiet) for (const { digest } of damage) context.stdout.write(`${digest}\n`);
  else {
    context.stdout.write(reportText(operation, context));
    context.stdout.write(damageText(damage, api, context));
  }
}

/** Every damaged blob with what cannot be pulled because of it, and what to push so that it heals. */
export function damageText(
  damage: readonly Damage[],
  { door }: Pick<Api, 'door'>,
  { stdout }: Pick<CommandContext, 'stdout'>,
): string {
  if (damage.length === 0) return '';
  const lines = ['', 'Damaged blobs:'];
  for (const { digest, size, damagedAt, touches, heal } of damage) {
    const name = stdout.isTTY === true ? shortenDigests(digest) : digest;
    lines.push(`  ${name}  ${sizeText(size)}  quarantined ${distanceText(damagedAt)}`);
    const touched = touches.map(({ repository, tags }) => `${repository}: ${tagsText(tags)}`);
    for (const line of [...touched, `to heal: ${heal}`]) lines.push(`    ${escapeControls(line)}`);
  }
  const [example] = damage.flatMap(({ touches }) => touches.filter(({ tags }) => tags.length > 0));
  if (example !== undefined) {
    const image = escapeControls(`${door.host}/${example.repository}:${example.tags[0]}`);
    lines.push(`As in: podman push ${image}, or skopeo copy SOURCE docker://${image}`);
  }
  return `${lines.join('\n')}\n`;
}

function tagsText(tags: readonly string[]): string {
  if (tags.length === 0) return 'no tag leads to it';
  const more = tags.length - tagsNamed;
  return `${tags.slice(0, tagsNamed).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
