// Questions on a real terminal (a pseudo-terminal of `script`): passwords that are not seen, and a yes before something is deleted.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { makeTestFolder, project } from '../support/berth-command.ts';
import { commandLine } from '../support/command-line.ts';
import { findProgram } from '../support/programs.ts';
import { startRegistry } from '../support/registry.ts';
import { startSilentRegistry } from '../support/silent-registry.ts';

const skip = findProgram('script') === undefined ? 'script (util-linux) is not installed' : false;
const password = 'a-password-for-tests';
const longestWaitMilliseconds = 20_000;

interface Terminal {
  /** Waits until the pattern is on the screen, after what was waited for before. */
  sees(pattern: RegExp): Promise<void>;
  types(keys: string): void;
  /** The exit code, when it has ended. */
  readonly ended: Promise<number | null>;
  screen(): string;
}

/** A command on a terminal of its own. */
function onTerminal(t: TestContext, args: readonly string[], folder: string, data: string): Terminal {
  const command = [process.execPath, join(project, 'src/main.ts'), ...args]
    .map((word) => `'${word}'`)
    .join(' ');
  const child: ChildProcess = spawn('script', ['-qec', command, '/dev/null'], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      XDG_RUNTIME_DIR: join(folder, 'runtime'),
      BERTH_DATA: data,
      NO_COLOR: '1',
      TERM: 'dumb',
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let seen = '';
  let from = 0;
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (seen += text));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  t.after(() => child.kill('SIGKILL'));
  return {
    ended,
    screen: () => seen.replaceAll('\r\n', '\n'),
    types: (keys) => child.stdin?.write(keys),
    async sees(pattern) {
      const deadline = performance.now() + longestWaitMilliseconds;
      for (;;) {
        const match = pattern.exec(seen.slice(from));
        if (match !== null) {
          from += match.index + match[0].length;
          return;
        }
        assert(performance.now() < deadline, `${pattern} is not on the screen:\n${seen}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

async function start(t: TestContext) {
  const registry = await startRegistry(t, {
    'access.mode': 'token',
    'access.adminPassword': password,
    'auth.password.bcryptCost': '10',
  });
  const folder = await makeTestFolder(t);
  const berth = commandLine({ data: registry.data, folder, homeFolder: folder });
  const open = (...args: string[]) => onTerminal(t, args, folder, registry.data);
  return { registry, berth, open };
}

describe('on a terminal', { skip, concurrency: 2 }, () => {
  test('long work is one line that is written over, and Ctrl-C leaves it to the server', async (t) => {
    const { open, berth } = await start(t);
    const terminal = open('import', 'registry', await startSilentRegistry(t));
    await terminal.sees(/\r\u001b\[Kimport {2}00:00:\d\d/);
    await terminal.sees(/\r\u001b\[Kimport {2}00:00:\d\d/);
    terminal.types('\u0003');
    await terminal.sees(
      /\r\u001b\[Kberth: interrupted: operation \d+ goes on\. berth operation show \d+ --follow/,
    );
    assert.equal(await terminal.ended, 130);
    const id = (await berth('operation', 'list', '-q')).trim();
    assert.match(await berth('operation', 'cancel', id), /is cancelled/);
  });

  test('a password is typed twice, a star for each letter, with corrections', async (t) => {
    const { berth, open, registry } = await start(t);
    const terminal = open('user', 'passwd', 'admin');
    await terminal.sees(/New password: /);
    terminal.types('wrong\u0015new-password-x\u007f1\r');
    await terminal.sees(/Once more: /);
    terminal.types('new-password-1\r');
    assert.equal(await terminal.ended, 0);
    assert.match(terminal.screen(), /\nadmin: password changed/);
    assert.doesNotMatch(terminal.screen(), /new-pass|wrong/);
    const login = berth.withInput('new-password-1\n');
    await login('login', `localhost:${registry.port}`, '-u', 'admin', '--password-stdin');
  });

  test('what is typed ahead answers the next question', async (t) => {
    const { open } = await start(t);
    const terminal = open('user', 'passwd', 'admin');
    await terminal.sees(/New password: /);
    terminal.types('new-password-1\rnew-password-1\r');
    assert.equal(await terminal.ended, 0);
    assert.match(terminal.screen(), /^Once more: \*{14}\nadmin: password changed/m);
  });

  test('two that differ, and Ctrl-C, change nothing', async (t) => {
    const { open } = await start(t);
    const differs = open('user', 'passwd', 'admin');
    await differs.sees(/New password: /);
    differs.types('new-password-1\r');
    await differs.sees(/Once more: /);
    differs.types('new-password-2\r');
    assert.equal(await differs.ended, 2);
    const interrupted = open('user', 'passwd', 'admin');
    await interrupted.sees(/New password: /);
    interrupted.types('new-\u0003');
    assert.equal(await interrupted.ended, 130);
  });

  test('login asks for the name, seen, and for the password, unseen', async (t) => {
    const { open, registry } = await start(t);
    const terminal = open('login', `localhost:${registry.port}`);
    await terminal.sees(/User name: /);
    terminal.types('admin\r');
    await terminal.sees(/Password or token: /);
    terminal.types(`${password}\r`);
    assert.equal(await terminal.ended, 0);
    assert.match(terminal.screen(), /\nsigned in to localhost:\d+ as admin/);
    assert.equal(terminal.screen().includes(password), false);
  });

  test('deleting takes a y, and everything else is a no', async (t) => {
    const { berth, open } = await start(t);
    for (const answer of ['\r', 'n\r', 'yikes\r']) {
      await berth.tries('user', 'add', 'sam');
      const terminal = open('user', 'remove', 'sam');
      await terminal.sees(/\? \[y\/N\] /);
      terminal.types(answer);
      assert.equal(await terminal.ended, 1, answer);
      assert.match(terminal.screen(), /nothing was changed/);
    }
    const terminal = open('user', 'remove', 'sam');
    await terminal.sees(/\? \[y\/N\] /);
    terminal.types('y\r');
    assert.equal(await terminal.ended, 0);
    assert.equal((await berth.tries('user', 'show', 'sam')).code, 5);
  });
});
