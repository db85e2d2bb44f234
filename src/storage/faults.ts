// Faults of the medium under a store, told apart by what the server has to do about them.

/** No room: reads, deletes and collection go on, writes are refused until there is room again. */
export class DiskFullError extends Error {
  override readonly name = 'DiskFullError';
}

/**
 * The medium failed in a way after which nothing written can be trusted (an I/O error, a failed fsync: the kernel may have
 * dropped the pages and a second fsync would succeed). The process stops writing and exits.
 */
export class MediumFailedError extends Error {
  override readonly name = 'MediumFailedError';
}

/** The store cannot answer just now (closing, or stopped after a fault). */
export class StoreUnavailableError extends Error {
  override readonly name = 'StoreUnavailableError';
}

const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'SQLITE_FULL']);
const failedCodes = new Set(['EIO', 'EROFS', 'ENODEV', 'ENXIO']);

/** `error` as one of the faults above where its code says so; otherwise as it is. */
export function asFault(error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string') return error;
  const message = (error as Error).message;
  if (fullCodes.has(code)) return new DiskFullError(message, { cause: error });
  if (failedCodes.has(code) || code.startsWith('SQLITE_IOERR'))
    return new MediumFailedError(message, { cause: error });
  return error;
}
