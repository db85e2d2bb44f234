// Rows of big blobs: a download, an upload in one PUT, and an upload streamed by PATCH as podman sends it.
import type { TransferOrders, TransferOutcome } from '../clients/transfer.ts';
import { type Row, type Sample, type Settings, type Side, type Suite, serverOf } from '../row.ts';
import { runClient } from '../tools.ts';

const repository = 'bench/big';

async function transfer(side: Side, settings: Settings, kind: TransferOrders['kind']): Promise<Sample> {
  const digest = side.notes.get('blob');
  const orders: TransferOrders = {
    base: serverOf(side).base,
    kind,
    repository,
    bytes: settings.bigBlobBytes,
    streams: 1,
    ...(kind === 'get' && digest !== undefined ? { digest } : {}),
  };
  const outcome = await runClient<TransferOutcome>('transfer', orders);
  const [pushed] = outcome.digests;
  if (pushed !== undefined) side.notes.set('blob', pushed);
  return {
    value: settings.bigBlobBytes / 1e6 / outcome.seconds,
    clientLoad: outcome.cpuSeconds / outcome.seconds,
  };
}

function rowFor(id: string, title: string, kind: TransferOrders['kind'], timesPeer: number): Row {
  return {
    id,
    title,
    unit: 'MB/s',
    better: 'more',
    target: { timesPeer },
    measure: (side, settings) => transfer(side, settings, kind),
  };
}

/** One 1 GiB blob at a time. The time of an upload runs from its POST to the 201 that says it is durable. */
export const transfers: Suite = {
  id: 'transfers',
  sharedServers: true,
  rows: [
    rowFor('big-get', '1 GB blob GET', 'get', 1.0),
    rowFor('big-put', '1 GB blob PUT', 'put', 1.8),
    rowFor('big-patch', '1 GB blob PATCH, chunked', 'patch', 1.8),
  ],
  async prepare(side, settings) {
    await transfer(side, settings, 'put');
  },
};
