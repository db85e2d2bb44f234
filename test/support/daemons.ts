// Daemons that a test starts for itself: containerd, and a dockerd on top of one, each with all of its folders and
// sockets in the home of the test.
import type { ChildProcess } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { type Cleanup, onEnd } from './cleanup.ts';
import type { ClientHome } from './client-home.ts';

const LONGEST_START_SECONDS = 60;
const LONGEST_END_SECONDS = 20;

/** Starts a containerd and gives the address of its socket; it ends with the test. */
export async function startContainerd(t: Cleanup, home: ClientHome): Promise<string> {
  const address = home.path('ctr.sock');
  const settings = await home.write(
    'containerd/config.toml',
    [
      'version = 2',
      'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]',
      `root = "${home.path('containerd', 'root')}"`,
      `state = "${home.path('containerd', 'state')}"`,
      `[grpc]\naddress = "${address}"`,
      `[ttrpc]\naddress = "${address}.ttrpc"`,
    ].join('\n'),
  );
  const daemon = home.start('containerd', ['--config', settings, '--log-level', 'warn']);
  await untilReady(t, daemon, 'containerd', () => home.run('ctr', ['--address', address, 'version']));
  return address;
}

/** Starts a dockerd (with a containerd of its own) and gives the value for DOCKER_HOST; both end with the test. */
export async function startDockerd(t: Cleanup, home: ClientHome): Promise<string> {
  const containerd = await startContainerd(t, home);
  const host = `unix://${home.path('docker.sock')}`;
  await mkdir(home.path('docker'), { recursive: true });
  const daemon = home.start('dockerd', [
    ...['--config-file', await home.write('docker/daemon.json', '{}\n')],
    ...['--data-root', home.path('docker', 'root'), '--exec-root', home.path('docker', 'exec')],
    ...['--pidfile', home.path('docker', 'pid'), '--host', host, '--containerd', containerd],
    ...['--storage-driver', 'vfs', '--iptables=false', '--ip6tables=false', '--bridge=none'],
  ]);
  await untilReady(t, daemon, 'dockerd', () => home.run('docker', ['--host', host, 'version']));
  return host;
}

async function untilReady(
  t: Cleanup,
  daemon: ChildProcess,
  name: string,
  ask: () => Promise<unknown>,
): Promise<void> {
  let printed = '';
  for (const stream of [daemon.stdout, daemon.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      printed = (printed + text).slice(-20_000);
    });
  }
  const hasEnded = () => daemon.exitCode !== null || daemon.signalCode !== null;
  onEnd(t, async () => {
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    const timer = setTimeout(() => daemon.kill('SIGKILL'), LONGEST_END_SECONDS * 1000);
    if (!hasEnded()) {
      daemon.kill('SIGTERM');
      await ended;
    }
    clearTimeout(timer);
  });
  for (let waited = 0; waited < LONGEST_START_SECONDS * 5 && !hasEnded(); waited += 1) {
    try {
      await ask();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  throw new Error(`${name} did not start:\n${printed}`);
}
