// Rows of Berth alone, in mode token: what a bearer token costs a manifest GET, and what 40 sign-ins by password at once cost
// pushes. Both sides of each ratio are taken on one server, in turn, round by round.
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { buildImage, pushImage } from '../clients/images.ts';
import type { PushOutcome } from '../clients/push.ts';
import type { SignInOutcome } from '../clients/sign-ins.ts';
import { Connection } from '../clients/wire.ts';
import type { Row, Settings, Side, Suite } from '../row.ts';
import { berth } from '../servers.ts';
import { runClient } from '../tools.ts';
import { manifestAccept, runWrk } from '../wrk.ts';

const pullers = 16;
const pushers = 4;
const parallelSignIns = 40;

/** The user that pushes and pulls, who owns the namespace of the same name. */
const user = 'bench';
const password = 'tangerine lamp 77 oboe';

const environment = {
  BERTH_ACCESS_MODE: 'token',
  BERTH_ACCESS_ADMIN_PASSWORD: password,
  // So that anonymous clients and the user pull the same manifest.
  BERTH_ACCESS_DEFAULT_VISIBILITY: 'public',
};

interface SignedIn {
  readonly base: string;
  /** The Authorization header of an access token of the user for `repositories`, to pull and to push. */
  authorizationFor(repositories: readonly string[]): Promise<string>;
}

/** Does `task` on a server of its own that asks for a sign-in, with the cost of passwords and the throttle left alone. */
async function withServer<Outcome>(side: Side, task: (server: SignedIn) => Promise<Outcome>) {
  const folder = join(side.folder, 'access');
  mkdirSync(folder, { recursive: true });
  const server = await berth(environment).launch(folder);
  const { base } = server;
  try {
    await ask(`${base}/api/v1/users`, 'admin', { name: user, password });
    return await task({
      base,
      async authorizationFor(repositories) {
        const scopes = repositories.map((name) => `&scope=repository:${name}:pull,push`).join('');
        return `Bearer ${(await ask(`${base}/token?service=berth${scopes}`, user)).token}`;
      },
    });
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** GETs `url` as `name`, or POSTs `body` there, and resolves with the JSON of the answer. */
async function ask(url: string, name: string, body?: object): Promise<Record<string, unknown>> {
  const authorization = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
  const answer = await fetch(url, {
    headers: { authorization, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${text.slice(0, 300)}`);
  return JSON.parse(text) as Record<string, unknown>;
}

interface Pulls {
  readonly anonymous: number;
  readonly bearer: number;
}

function measurePulls(side: Side, settings: Settings): Promise<Pulls[]> {
  return withServer(side, async ({ base, authorizationFor }) => {
    const repository = `${user}/app`;
    const authorization = await authorizationFor([repository]);
    const connection = await Connection.open(base, authorization);
    await pushImage([connection], repository, 'latest', buildImage('access', 7, randomBytes(1 << 20)));
    connection.close();
    const rate = async (seconds: number, header?: string) => {
      const url = `${base}/v2/${repository}/manifests/latest`;
      return (await runWrk(url, pullers, seconds, manifestAccept, header)).requestsPerSecond;
    };
    await rate(2);
    await rate(2, authorization);
    const rounds: Pulls[] = [];
    for (let round = 0; round < settings.rounds; round += 1) {
      const anonymous = await rate(settings.seconds);
      rounds.push({ anonymous, bearer: await rate(settings.seconds, authorization) });
    }
    return rounds;
  });
}

interface Pushes {
  readonly quiet: number;
  readonly beside: number;
  readonly signIns: number;
}

function measurePushes(side: Side, settings: Settings): Promise<Pushes[]> {
  return withServer(side, async ({ base, authorizationFor }) => {
    const repositories = Array.from({ length: pushers }, (_, client) => `${user}/push-${client}`);
    const authorization = await authorizationFor(repositories);
    const seconds = settings.seconds * 2;
    const rate = async (salt: string, duration: number) => {
      const orders = {
        base,
        salt,
        clients: pushers,
        connectionsPerClient: 1,
        seconds: duration,
        authorization,
      };
      const outcome = await runClient<PushOutcome>('push', orders);
      return outcome.images / outcome.seconds;
    };
    await rate('warm', 2);
    const rounds: Pushes[] = [];
    for (let round = 0; round < settings.rounds; round += 1) {
      const quiet = await rate(`quiet-${round}`, seconds);
      // Those under way when the time is over take seconds more: they last longer than the pushes.
      const orders = { base, salt: `nobody-${round}`, parallel: parallelSignIns, seconds: seconds + 1 };
      const signingIn = runClient<SignInOutcome>('sign-ins', orders);
      const pushing = pause(1000).then(() => rate(`beside-${round}`, seconds));
      const [outcome, beside] = await Promise.all([signingIn, pushing]);
      rounds.push({ quiet, beside, signIns: outcome.signIns / outcome.seconds });
    }
    return rounds;
  });
}

/** A row of what `take` measured; rows with the same `take` share one measurement, which has all rounds. */
function rowFor<Round>(
  take: Take<Round>,
  row: Omit<Row, 'berthOnly' | 'measure'>,
  pick: (round: Round) => number,
): Row {
  return {
    ...row,
    berthOnly: true,
    async measure(side, settings, round) {
      const measured = (await take(side, settings))[round];
      if (measured === undefined) throw new Error(`round ${round} of ${row.id} was not measured`);
      return { value: pick(measured) };
    },
  };
}

type Take<Round> = (side: Side, settings: Settings) => Promise<readonly Round[]>;

function once<Round>(take: Take<Round>): Take<Round> {
  let measured: Promise<readonly Round[]> | undefined;
  return (side, settings) => {
    measured ??= take(side, settings);
    return measured;
  };
}

const pulls = once(measurePulls);
const pushes = once(measurePushes);

/** Manifest GET with a token over anonymous, and pushes beside 40 sign-ins by password over quiet. */
export const access: Suite = {
  id: 'access',
  sharedServers: false,
  rows: [
    rowFor(
      pulls,
      { id: 'access-get-anonymous', title: 'manifest GET, anonymous', unit: 'requests/s', better: 'more' },
      ({ anonymous }) => anonymous,
    ),
    rowFor(
      pulls,
      { id: 'access-get-bearer', title: 'manifest GET, bearer token', unit: 'requests/s', better: 'more' },
      ({ bearer }) => bearer,
    ),
    rowFor(
      pulls,
      {
        ...{ id: 'access-get-ratio', title: 'the second over the first', unit: 'times', better: 'more' },
        target: { atLeast: 0.7 },
      },
      ({ anonymous, bearer }) => bearer / anonymous,
    ),
    rowFor(
      pushes,
      { id: 'access-push-quiet', title: 'images pushed, 4 clients, quiet', unit: 'images/s', better: 'more' },
      ({ quiet }) => quiet,
    ),
    rowFor(
      pushes,
      {
        id: 'access-push-sign-ins',
        title: 'images pushed, 4 clients, 40 sign-ins at once',
        unit: 'images/s',
        better: 'more',
      },
      ({ beside }) => beside,
    ),
    rowFor(
      pushes,
      { id: 'access-push-load', title: 'sign-ins answered beside them', unit: 'sign-ins/s', better: 'more' },
      ({ signIns }) => signIns,
    ),
    rowFor(
      pushes,
      {
        ...{ id: 'access-push-ratio', title: 'times slower than quiet', unit: 'times', better: 'less' },
        target: { atMost: 1.2 },
      },
      ({ quiet, beside }) => quiet / beside,
    ),
  ],
};
