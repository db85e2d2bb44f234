// What is said about a token wherever one is made or listed.
import type { Role } from '../../storage/account-store.ts';
import type { Token } from '../client/shapes.ts';
import { distanceText, momentText } from './text.ts';

/** "no expiry; berth status tells when it stays unused", "expires in 89 days (2027-03-31 23:59 UTC)" */
export function expiryText({ expiresAt }: Pick<Token, 'expiresAt'>, atLength = true): string {
  if (expiresAt === null)
    return atLength ? 'no expiry; berth status tells when it stays unused' : 'no expiry';
  return `expires ${distanceText(expiresAt)}${atLength ? ` (${momentText(expiresAt)})` : ''}`;
}

/** "used 3 hours ago", "never used" */
export function usedText({ lastUsedAt }: Pick<Token, 'lastUsedAt'>): string {
  return lastUsedAt === null ? 'never used' : `used ${distanceText(lastUsedAt)}`;
}

/** How one signs in with it; the secret is in a variable, so that it stands in no history. */
export function loginLine(host: string, user: string): string {
  return `podman login ${host} -u ${user} --password-stdin <<< "$BERTH_TOKEN"`;
}

/** "write on acme/web/**", "all that acme+ci may" */
export function reachText(
  { role, repositories }: { readonly role: Role | null; readonly repositories: readonly string[] | null },
  owner: string,
): string {
  const most = role === null || role === 'admin' ? `all that ${owner} may` : role;
  return repositories === null || repositories.length === 0 ? most : `${most} on ${repositories.join(', ')}`;
}
