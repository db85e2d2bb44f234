// The contract of MetadataStore over the drivers that there are.
import { openTestStore } from '../support/metadata.ts';
import { describeMetadataStore } from './metadata-store.ts';

describeMetadataStore('SQLite', async (t, { clock }) => (await openTestStore(t, { clock })).store);
