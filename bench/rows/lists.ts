// Rows of a repository with very many tags: the whole list, and one page out of its middle.
import { randomBytes } from 'node:crypto';
import { buildImage, pushImage, pushManifest } from '../clients/images.ts';
import { Connection } from '../clients/wire.ts';
import { type Settings, type Side, type Suite, serverOf } from '../row.ts';
import { runWrk } from '../wrk.ts';

const repository = 'bench/many';
const pushers = 8;

function tagNumber(number: number): string {
  return `v${String(number).padStart(6, '0')}`;
}

async function prepare(side: Side, settings: Settings): Promise<void> {
  const connections = await Promise.all(
    Array.from({ length: pushers }, () => Connection.open(serverOf(side).base)),
  );
  const image = buildImage('lists', 1, randomBytes(1 << 20));
  await pushImage(connections, repository, tagNumber(0), image);
  await Promise.all(
    connections.map(async (connection, first) => {
      for (let number = 1 + first; number < settings.tags; number += pushers) {
        await pushManifest(connection, repository, tagNumber(number), image.manifest);
      }
      connection.close();
    }),
  );
}

/** Lists of tags, asked over four connections. */
export const lists: Suite = {
  id: 'lists',
  sharedServers: true,
  rows: [
    {
      id: 'tags-whole',
      title: 'tags/list, the whole list',
      unit: 'lists/s',
      better: 'more',
      async measure(side, settings) {
        const url = `${serverOf(side).base}/v2/${repository}/tags/list`;
        return { value: (await runWrk(url, 4, settings.seconds, '*/*')).requestsPerSecond };
      },
    },
    {
      id: 'tags-page',
      title: 'tags/list, 100 from the middle',
      unit: 'pages/s',
      better: 'more',
      target: { timesPeer: 50 },
      async measure(side, settings) {
        const middle = tagNumber(Math.floor(settings.tags / 2));
        const url = `${serverOf(side).base}/v2/${repository}/tags/list?n=100&last=${middle}`;
        return { value: (await runWrk(url, 4, settings.seconds, '*/*')).requestsPerSecond };
      },
    },
  ],
  prepare,
};
