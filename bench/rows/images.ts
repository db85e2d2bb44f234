// Rows of whole images per second, pushed as podman does, by one client and by eight.
import type { PushOutcome } from '../clients/push.ts';
import { type Row, type Suite, serverOf } from '../row.ts';
import { runClient } from '../tools.ts';

function rowFor(clients: number, connectionsPerClient: number): Row {
  const how = connectionsPerClient === 1 ? 'one layer at a time' : `${connectionsPerClient} layers at a time`;
  return {
    id: `images-${clients}-clients-${connectionsPerClient}-layers`,
    title: `images pushed, ${clients} ${clients === 1 ? 'client' : 'clients'}, ${how}`,
    unit: 'images/s',
    better: 'more',
    target: { timesPeer: 3 },
    async measure(side, settings, round) {
      const outcome = await runClient<PushOutcome>('push', {
        base: serverOf(side).base,
        salt: `${clients}-${connectionsPerClient}-${round}`,
        clients,
        connectionsPerClient,
        seconds: settings.seconds * 2,
      });
      return { value: outcome.images / outcome.seconds, clientLoad: outcome.cpuSeconds / outcome.seconds };
    },
  };
}

/** Unique images of a config and 3 to 10 small layers; six layers at a time is what podman does by default. */
export const images: Suite = {
  id: 'images',
  sharedServers: true,
  rows: [rowFor(1, 1), rowFor(1, 6), rowFor(8, 1)],
};
