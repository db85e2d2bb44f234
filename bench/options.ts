// The bench's command line.
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import type { Settings } from './row.ts';

export const usage = `npm run bench -- [options]

  --peer URL      compare with the registry at URL (http); by default Debian's docker-registry is started
  --only ROW      measure only rows whose name contains ROW; may be repeated; --list prints the names
  --quick         one short round, smaller blobs and fewer tags: a look, not a measurement
  --slow-fsync    also: latency of manifest GET under pushes with every fsync made 3 ms slower (needs strace)
  --folder DIR    where the servers keep their stores (default: the folder for temporary files)
  --json FILE     also write every sample to FILE
  --list          print the names of the rows and stop
  --help          print this`;

export interface Options {
  readonly peer: string | undefined;
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly slowFsync: boolean;
  readonly folder: string;
  readonly json: string | undefined;
  readonly list: boolean;
  readonly help: boolean;
}

/** The options that `args` spell. Throws for an unknown one. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      peer: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      'slow-fsync': { type: 'boolean', default: false },
      folder: { type: 'string', default: tmpdir() },
      json: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.peer !== undefined && !/^http:\/\//.test(values.peer)) {
    throw new Error(`--peer takes an http:// address, not ${values.peer}`);
  }
  return { ...values, peer: values.peer, json: values.json, slowFsync: values['slow-fsync'] };
}

/** How much work the rows do. */
export function settingsFor(options: Options): Settings {
  const gibibyte = 1 << 30;
  return options.quick
    ? { rounds: 1, seconds: 2, bigBlobBytes: gibibyte / 4, parallelUploads: 10, tags: 2_000 }
    : { rounds: 3, seconds: 5, bigBlobBytes: gibibyte, parallelUploads: 10, tags: 10_000 };
}
