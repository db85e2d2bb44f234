// The contract of AccountStore over the drivers that there are.
import { openTestStore } from '../support/metadata.ts';
import { describeAccountStore } from './account-store.ts';

describeAccountStore('SQLite', async (t, { clock }) => (await openTestStore(t, { clock })).store);
