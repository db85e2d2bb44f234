// What a person reads when a rule protects a tag.
import { OciError } from '../oci/errors.ts';
import { type HeldRule, registryRules, type TagProtection } from '../storage/protection-store.ts';

/** The refusal under /v2: DENIED, whose sentence podman shows. Other codes would make it push again in another form. */
export function protectionDenied(protection: TagProtection, cause?: unknown): OciError {
  const { held, tag, digest } = protection;
  const detail = {
    tag,
    rule: held.rule,
    tags: held.tags,
    namespace: held.namespace,
    ...(digest && { digest }),
  };
  return new OciError('DENIED', protectionText(protection), detail, { cause });
}

/** What was refused, by which rule, and what to do. */
export function protectionText({ act, repository, tag, held, digest }: TagProtection): string {
  const state = `${held.rule} (${ruleText(held)})`;
  const change = `take the rule away first: ${removalOf(held)}`;
  switch (act) {
    case 'move':
      return `tag ${tag} is ${state}. Push another tag.`;
    case 'delete':
      return `tag ${tag} is ${state} and is not deleted; ${change}`;
    case 'delete manifest':
      return `manifest ${digest ?? ''} has tag ${tag}, which is ${state}: it is not deleted; ${change}`;
    case 'delete repository':
      return `repository ${repository} has tag ${tag}, which is ${state}: it is not deleted; ${change}`;
    case 'move repository':
      return `repository ${repository} has tag ${tag}, which is ${state} and would not be under the other name: it is not moved; set such a rule there first, or ${change}`;
  }
}

function removalOf({ repositories, tags, namespace }: HeldRule): string {
  const where = namespace === registryRules && repositories !== '**' ? ` --namespace ${registryRules}` : '';
  return `berth protect remove '${repositories}' --tags '${tags}'${where}`;
}

/** A rule as people name it: `rule v* of acme`. */
export function ruleText({ tags, namespace }: HeldRule): string {
  return `rule ${tags} of ${namespace === registryRules ? 'the registry' : namespace}`;
}
