// The contract of AccountStore as tests: whatever driver is behind it, each sentence here holds. One file per noun.
import { describeCredentialStore } from './account-store-credentials.ts';
import { describeGrantStore } from './account-store-grants.ts';
import { describeKeyStore } from './account-store-keys.ts';
import { describeNamespaceStore } from './account-store-namespaces.ts';
import { describeOrganizationStore } from './account-store-organizations.ts';
import { describePolicyStore } from './account-store-policy.ts';
import { describeRobotStore } from './account-store-robots.ts';
import { describeUserStore } from './account-store-users.ts';
import type { OpenMetadataStore } from './metadata-store.ts';

/** Runs the whole contract over the stores that `open` makes. */
export function describeAccountStore(name: string, open: OpenMetadataStore): void {
  describeUserStore(name, open);
  describeNamespaceStore(name, open);
  describeOrganizationStore(name, open);
  describeRobotStore(name, open);
  describeGrantStore(name, open);
  describeCredentialStore(name, open);
  describeKeyStore(name, open);
  describePolicyStore(name, open);
}
