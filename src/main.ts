#!/usr/bin/env node
// The process: what has to be so before anything else is loaded, then the command line. The only user of process.env.
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

// The first Node that runs TypeScript without a flag. Older ones refuse the file before they get here, unless told to strip types.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `Berth needs Node 22.18 or newer, and this is ${process.versions.node}. In a clone, npm start and npx berth bring the ` +
      'right one with them.\n',
  );
  process.exit(2);
}

// libuv reads this at the first use of its pool. fsync and file reads share it: four threads are too few.
process.env.UV_THREADPOOL_SIZE ??= '16';

// Keeps the stripped and compiled sources between starts: faster to start, and 40 MiB less to hold. Where the folder cannot be
// written, Node goes on without. Not in the shared temporary folder, where another user could leave something to run.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, '../node_modules/.cache/compile');
enableCompileCache(process.env.NODE_COMPILE_CACHE);

// Whoever reads the output may have seen enough: berth audit --follow | head. A server's end is its own affair.
if (process.argv[2] !== 'serve') {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    process.stderr.write(`berth: the output cannot be written: ${error.code ?? error.message}\n`);
    process.exit(1);
  });
  // Where nobody reads what went wrong, the exit code still tells.
  process.stderr.on('error', () => undefined);
}

const { run } = await import('./cli/program.ts');
const code = await run(process.argv.slice(2), {
  environment: process.env,
  folder: process.cwd(),
  homeFolder: process.env.HOME ?? '/',
  userId: process.getuid?.() ?? 0,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
});
// A pipe takes what is written in its own time, and the end of the process would lose the rest. The end of a server waits for nobody.
if (process.argv[2] !== 'serve') {
  for (const output of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => output.write('', () => resolve()));
  }
}
process.exit(code);
