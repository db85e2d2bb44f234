// What a client reads when a quota is full.
import { OciError } from '../oci/errors.ts';
import { QuotaExceededError, type QuotaExcess } from '../storage/care-store.ts';

/** Runs a change; where it does not fit into a quota, throws OciError DENIED (403) with how much is used and what to do. */
export async function withinQuota<Result>(change: () => Promise<Result>): Promise<Result> {
  try {
    return await change();
  } catch (error) {
    if (error instanceof QuotaExceededError) throw quotaDenied(error.excess, error);
    throw error;
  }
}

/** The refusal of a change that does not fit. */
export function quotaDenied(excess: QuotaExcess, cause?: unknown): OciError {
  const { namespace, what, limit, used, wanted } = excess;
  const whose = namespace === undefined ? 'the registry' : `namespace ${namespace}`;
  const usage = namespace === undefined ? 'berth usage' : `berth usage ${namespace}`;
  const message =
    what === 'bytes'
      ? `${whose} uses ${sizeText(used)} of its quota of ${sizeText(limit)}, and ${sizeText(wanted)} more do not fit: ` +
        `delete manifests that are not needed any more (${usage} tells what takes the space; what is deleted counts until ` +
        'it is collected) or ask an administrator for a larger quota'
      : `${whose} has ${used} of ${limit} repositories that its quota allows: ` +
        'push to a repository that exists, or ask an administrator for a larger quota';
  return new OciError('DENIED', message, { namespace, quota: what, limit, used, wanted }, { cause });
}

const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

function sizeText(bytes: number): string {
  const unit = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)));
  const value = bytes / 1024 ** unit;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
