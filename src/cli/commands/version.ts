// `berth version`: what runs here, for reports of faults.
import type { Command } from 'commander';
import { version } from '../../version.ts';
import type { CommandContext } from '../context.ts';

export function addVersion(program: Command, { stdout }: CommandContext): void {
  program
    .command('version')
    .description('print the version of Berth and of what it runs on')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExamples:\n  berth version\n  berth version --json')
    .action(({ json }: { json?: boolean }) => {
      const platform = `${process.platform}/${process.arch}`;
      const node = process.versions.node;
      if (json) stdout.write(`${JSON.stringify({ version, node, platform })}\n`);
      else stdout.write(`berth ${version} (node ${node}, ${platform})\n`);
    });
}
