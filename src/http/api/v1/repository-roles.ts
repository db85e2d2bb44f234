// What a caller may on a repository that the path does not name: the source of a copy, or where something deleted was.
import { includesRole } from '../../../auth/roles.ts';
import type { RepositoryName } from '../../../oci/name.ts';
import type { Role } from '../../../storage/account-store.ts';
import type { ApiContext } from './context.ts';
import { Problem } from './problem.ts';
import type { Call } from './route.ts';

type AnyCall = Pick<Call<unknown, unknown, unknown>, 'request' | 'now'>;

/** The role on a name, whether or not there is a repository; in mode open everybody has every role. */
export async function roleOnRepository(
  { authority }: ApiContext,
  { request: { rights }, now }: AnyCall,
  repository: RepositoryName,
): Promise<Role | undefined> {
  if (rights === undefined) return 'admin';
  return rights.roleOn(repository, await authority.policy.findVisibility(repository), now);
}

/** Throws the denied Problem for who sees the repository of the path and has not got this role. */
export async function needRole(
  context: ApiContext,
  call: AnyCall,
  repository: RepositoryName,
  role: Role,
): Promise<void> {
  if (includesRole(await roleOnRepository(context, call, repository), role)) return;
  const who = call.request.rights?.name ?? 'anonymous';
  throw new Problem('denied', `${who} may not do this: it takes the role ${role} on the repository`);
}
