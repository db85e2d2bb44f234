// The order of the roles on a repository: each includes those before it.
import { type Role, roles } from '../storage/account-store.ts';

/** 1 for read to 4 for admin. */
export function rankOf(role: Role): number {
  return roles.indexOf(role) + 1;
}

/** Whether who holds `role` has all that `needed` gives. */
export function includesRole(role: Role | undefined, needed: Role): boolean {
  return role !== undefined && rankOf(role) >= rankOf(needed);
}

/** The lesser of two roles; undefined, no role at all, is less than any. */
export function lesser(one: Role | undefined, other: Role | undefined): Role | undefined {
  if (one === undefined || other === undefined) return undefined;
  return rankOf(one) <= rankOf(other) ? one : other;
}

/** The greater of two roles. */
export function greater(one: Role | undefined, other: Role | undefined): Role | undefined {
  if (one === undefined) return other;
  if (other === undefined) return one;
  return rankOf(one) >= rankOf(other) ? one : other;
}
