// The classroom exercise: a web server image on Debian is built, tagged, pushed, forgotten, pulled back and run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { type ClientHome, makeClientHome } from '../support/client-home.ts';
import { makeDebianArchive } from '../support/images.ts';
import { findFreePort } from '../support/ports.ts';
import { skipWithout } from '../support/programs.ts';
import { startBerth } from '../support/running-berth.ts';

const PAGE = '<h1>This page came out of a registry</h1>\n';
const LONGEST_START_SECONDS = 60;

const CONTAINERFILE = `FROM localhost/debian:1
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install --yes --no-install-recommends apache2 && rm -rf /var/lib/apt/lists/*
ENV PORT=80
RUN echo 'Listen 127.0.0.1:\${PORT}' > /etc/apache2/ports.conf \\
 && echo 'ServerName localhost' >> /etc/apache2/apache2.conf \\
 && sed -i 's/<VirtualHost .*>/<VirtualHost *>/' /etc/apache2/sites-available/000-default.conf
COPY index.html /var/www/html/index.html
LABEL org.example.course="registry"
EXPOSE 80
CMD ["apachectl", "-D", "FOREGROUND"]
`;

const skip = skipWithout('podman', 'buildah', 'debootstrap', 'root');

test('a custom httpd image on Debian is pushed, pulled back and serves its page', { skip }, async (t) => {
  const berth = await startBerth(t);
  const home = await makeClientHome(t);
  const image = `${berth.host}/classroom/httpd:1.0`;
  const podman = (...args: string[]) => home.run('podman', args, { timeoutSeconds: 900 });

  await podman('import', '--quiet', await makeDebianArchive(), 'localhost/debian:1');
  await home.write('httpd/Containerfile', CONTAINERFILE);
  await home.write('httpd/index.html', PAGE);
  await podman(
    'build',
    '--isolation',
    'chroot',
    '--layers=false',
    '--tag',
    'localhost/my-httpd',
    home.path('httpd'),
  );
  await podman('tag', 'localhost/my-httpd', image);
  const built = (await podman('image', 'inspect', '--format', '{{.Id}}', image)).stdout;
  await podman('push', '--tls-verify=false', image);

  await home.wipeStorage();
  assert.equal((await podman('images', '--quiet')).stdout, '');
  await podman('pull', '--tls-verify=false', image);
  assert.equal((await podman('image', 'inspect', '--format', '{{.Id}}', image)).stdout, built);

  const port = await findFreePort();
  const container = (await home.run('buildah', ['from', '--pull-never', image])).stdout.trim();
  const httpd = home.start('buildah', [
    ...['run', '--isolation', 'chroot', '--env', `PORT=${port}`],
    ...[container, '--', 'apachectl', '-D', 'FOREGROUND'],
  ]);
  const ended = new Promise((resolve) => httpd.on('close', resolve));
  onEnd(t, async () => {
    await stopHttpd(home, container);
    await ended;
  });
  assert.equal(await fetchPage(`http://127.0.0.1:${port}/`), PAGE);
});

/** The web server of a chroot container is an ordinary process of this machine: its own pid file names it. */
async function stopHttpd(home: ClientHome, container: string): Promise<void> {
  await home.run('buildah', ['run', '--isolation', 'chroot', container, '--', 'apachectl', 'stop'], {
    expect: 'either',
  });
}

async function fetchPage(url: string): Promise<string> {
  for (let waited = 0; waited < LONGEST_START_SECONDS * 5; waited += 1) {
    try {
      return await (await fetch(url)).text();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  throw new Error(`nothing answers at ${url}`);
}
