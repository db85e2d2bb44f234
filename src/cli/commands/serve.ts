// `berth serve`: its options. The server itself is loaded when it is asked for, which keeps every other command quick.
import type { Command } from 'commander';
import { addConfigOptions, type ConfigOptions, sourcesOf } from '../config-options.ts';
import type { CommandContext } from '../context.ts';

const help = `
Every option wins over the environment (BERTH_HTTP_PORT), and that over the file.
SIGTERM and SIGINT finish the requests in flight; SIGHUP reads the TLS files and the settings marked [reload] again.

Examples:
  berth serve
  berth serve --port 5001 --data /srv/berth
  berth serve --config /etc/berth/berth.yaml
  BERTH_ACCESS_OPEN_ON_NETWORK=true berth serve --open --address 0.0.0.0     for a trusted network`;

export function addServe(program: Command, context: CommandContext): void {
  addConfigOptions(program.command('serve').description('run the registry in the foreground'))
    .addHelpText('after', help)
    .action(async (options: ConfigOptions) => {
      const { serve } = await import('../serving.ts');
      await serve(sourcesOf(options, context), context);
    });
}
