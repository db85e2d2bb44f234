// Rows of Berth alone: lists of tags in the management API, a page of 100 out of the middle in each order, of a repository with
// 100,000 tags against one with 100 and a few. They are to be as fast: each order has an index of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Row, Settings, Side, Suite } from '../row.ts';
import { fillTags } from '../tag-store.ts';
import { runWrk } from '../wrk.ts';

// A page of 100 out of the middle takes a few more than 100.
const small = { name: 'bench/small', tags: 250 } as const;
const large = { name: 'bench/large', tags: 100_000 } as const;
const orders = ['name', '-name', 'pushedAt', '-pushedAt', '-pulledAt', 'size', '-size', 'semver', '-semver'];
const page = 100;

interface Outcome {
  /** How many times longer a page of the large repository takes, by order. */
  readonly ratios: ReadonlyMap<string, number>;
  readonly slowestMilliseconds: number;
}

interface ListPage {
  readonly items: readonly unknown[];
  readonly next: string | null;
}

/** The address of a page that begins in the middle. */
async function middleOf(
  base: string,
  { name, tags }: typeof small | typeof large,
  sort: string,
): Promise<string> {
  const list = `${base}/api/v1/repositories/${name}/-/tags?sort=${sort}`;
  let cursor = '';
  for (let seen = 0; seen < tags / 2 - page; ) {
    const limit = Math.min(1000, Math.ceil(tags / 2 - page - seen));
    const reply = await fetch(`${list}&limit=${limit}${cursor}`);
    const { items, next } = (await reply.json()) as ListPage;
    if (!reply.ok || next === null) throw new Error(`${list} ended after ${seen}`);
    seen += items.length;
    cursor = `&cursor=${next}`;
  }
  return `${list}&limit=${page}${cursor}`;
}

async function measure(side: Side, settings: Settings): Promise<Outcome> {
  const data = join(side.folder, 'tags');
  mkdirSync(data, { recursive: true });
  await fillTags(data, [small, large]);
  const program = fileURLToPath(new URL('../collection-server.ts', import.meta.url));
  const child = spawn(process.execPath, [program, data], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const { url } = JSON.parse(line) as { url: string };
    const ratios = new Map<string, number>();
    let slowestMilliseconds = 0;
    for (const order of orders) {
      const rates: number[] = [];
      for (const repository of [small, large]) {
        const address = await middleOf(url, repository, order);
        await runWrk(address, 1, 1);
        rates.push((await runWrk(address, 1, settings.seconds, '*/*')).requestsPerSecond);
      }
      const [few = 1, many = 1] = rates;
      ratios.set(order, few / many);
      slowestMilliseconds = Math.max(slowestMilliseconds, 1000 / many);
    }
    return { ratios, slowestMilliseconds };
  } finally {
    child.stdin.end('stop\n');
    if (child.exitCode === null) await once(child, 'exit');
    rmSync(data, { recursive: true, force: true });
  }
}

// One measurement fills all rows of a round.
const measured = new Map<number, Promise<Outcome>>();

function rowFor(id: string, title: string, pick: (outcome: Outcome) => number): Omit<Row, 'unit'> {
  return {
    id,
    title,
    better: 'less',
    rounds: 1,
    berthOnly: true,
    async measure(side, settings, round) {
      const outcome = measured.get(round) ?? measure(side, settings);
      measured.set(round, outcome);
      return { value: pick(await outcome) };
    },
  };
}

/** Lists of tags by what people sort by. */
export const tagLists: Suite = {
  id: 'tag-lists',
  sharedServers: false,
  rows: [
    ...orders.map(
      (order): Row => ({
        ...rowFor(
          `tags-list-${order}`,
          `100 of 100,000 tags by ${order}, over 100 of 250`,
          ({ ratios }) => ratios.get(order) ?? 0,
        ),
        unit: 'times',
        target: { atMost: 1.5 },
      }),
    ),
    {
      ...rowFor(
        'tags-list-slowest',
        'the slowest of them, a page',
        ({ slowestMilliseconds }) => slowestMilliseconds,
      ),
      unit: 'ms',
    },
  ],
};
