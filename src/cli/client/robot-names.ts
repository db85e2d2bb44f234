// Robots on the command line: where the API has them, and their patterns, which are written from the namespace on while the API
// takes full names.
import { parseRobotName } from '../../auth/account-name.ts';
import { parsePattern } from '../../auth/pattern.ts';
import type { CommandContext } from '../context.ts';
import { path } from './api.ts';

/** A robot of the whole registry: its patterns are full names. */
export const registryNamespace = 'system';

/** The name in its parts, and its place in the API. Throws InvalidNameError. */
export function placeOfRobot(name: string): {
  name: string;
  namespace: string;
  robot: string;
  where: string;
} {
  const parsed = parseRobotName(name);
  return { ...parsed, where: path`namespaces/${parsed.namespace}/robots/${parsed.robot}` };
}

/** `web/**` of acme+ci is acme/web/**. Says so on stderr where somebody probably meant the full name. Throws InvalidNameError. */
export function patternsOfRobot(
  namespace: string,
  patterns: readonly string[],
  { stderr }: CommandContext,
): readonly string[] {
  if (namespace === registryNamespace) return patterns.map(parsePattern);
  return patterns.map((pattern) => {
    const full = parsePattern(`${namespace}/${pattern}`);
    if (pattern.startsWith(`${namespace}/`)) {
      stderr.write(`note: patterns of ${namespace}+… begin within ${namespace}/, so this is ${full}\n`);
    }
    return full;
  });
}
