// The contract of MetadataStore as tests: whatever driver is behind it, each sentence here holds. One file per noun.
import type { TestContext } from 'node:test';
import type { MetadataStore } from '../../src/storage/metadata-store.ts';
import type { ManualClock } from '../support/metadata.ts';
import { describeCollectorStore } from './care-store-collector.ts';
import { describeQuotaStore } from './care-store-quotas.ts';
import { describeScrubStore } from './care-store-scrub.ts';
import { describeBlobIndex } from './metadata-store-blobs.ts';
import { describeDeleted } from './metadata-store-deleted.ts';
import { describeEventStore } from './metadata-store-events.ts';
import { describeManagedRepositories } from './metadata-store-managed-repositories.ts';
import { describeManifestStore } from './metadata-store-manifests.ts';
import { describeMoves } from './metadata-store-moves.ts';
import { describeReferences } from './metadata-store-references.ts';
import { describeRepositoryStore } from './metadata-store-repositories.ts';
import { describeRetagging } from './metadata-store-retag.ts';
import { describeSignatureStore } from './metadata-store-signatures.ts';
import { describeTagLists } from './metadata-store-tags.ts';
import { describeUploadIndex } from './metadata-store-uploads.ts';
import { describeProtectionStore } from './protection-store.ts';
import { describeWebhookStore } from './webhook-store.ts';

/** Opens an empty store that keeps things for `keepTimes` by `clock`, and ends with the test. */
export type OpenMetadataStore = (
  t: TestContext,
  options: { readonly clock: ManualClock },
) => Promise<MetadataStore>;

/** Runs the whole contract over the stores that `open` makes. */
export function describeMetadataStore(name: string, open: OpenMetadataStore): void {
  describeManifestStore(name, open);
  describeReferences(name, open);
  describeRepositoryStore(name, open);
  describeManagedRepositories(name, open);
  describeMoves(name, open);
  describeBlobIndex(name, open);
  describeUploadIndex(name, open);
  describeSignatureStore(name, open);
  describeEventStore(name, open);
  describeCollectorStore(name, open);
  describeQuotaStore(name, open);
  describeTagLists(name, open);
  describeRetagging(name, open);
  describeDeleted(name, open);
  describeScrubStore(name, open);
  describeProtectionStore(name, open);
  describeWebhookStore(name, open);
}
