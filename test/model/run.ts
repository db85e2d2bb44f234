// One run of the model: a world, things that happen in an order of the seed, and everything checked after each step.
import { emphasisOf, modelRun, startSomething } from './clients.ts';
import { type Sown, World } from './world.ts';

export interface RunOutcome {
  readonly steps: number;
  /** What happened, in order. */
  readonly log: readonly string[];
  /** What was broken; undefined when nothing was. */
  readonly failure: { readonly error: unknown } | undefined;
}

const things = { broad: 24, narrow: 24, damage: 40, backup: 24 } as const;
const atOnce = { broad: 3, narrow: 4, damage: 5, backup: 3 } as const;
const hour = 3600;

/** Runs a seed. The same seed with the same code and the same sown fault gives the same run. */
export async function runSeed(seed: number, sown: Sown = {}): Promise<RunOutcome> {
  const world = new World(seed, sown);
  let steps = 0;
  try {
    await world.boot();
    steps = await live(world, emphasisOf(seed));
    await quiet(world);
    return { steps, log: world.scheduler.log, failure: undefined };
  } catch (error) {
    return { steps, log: world.scheduler.log, failure: { error } };
  } finally {
    world.scheduler.killAll();
    world.dispose();
  }
}

async function live(world: World, emphasis: ReturnType<typeof emphasisOf>): Promise<number> {
  const { scheduler, expectations } = world;
  const { random } = scheduler;
  let left: number = things[emphasis];
  for (let steps = 0; ; steps += 1) {
    await scheduler.settle();
    expectations.check();
    if (left === 0 && !scheduler.canGoOn) return steps;
    if (left > 0 && (!scheduler.canGoOn || (scheduler.active < atOnce[emphasis] && random.chance(0.2)))) {
      left -= 1;
      startSomething(world, emphasis);
    } else if (!(await disturb(world, emphasis))) scheduler.goOn();
  }
}

/** What comes from outside, once in a while. False when nothing did. */
async function disturb(world: World, emphasis: ReturnType<typeof emphasisOf>): Promise<boolean> {
  const { scheduler, clock } = world;
  const { random } = scheduler;
  if (!random.chance(0.06)) return false;
  const damage = emphasis === 'damage' ? 8 : 2;
  const advance = emphasis === 'backup' ? 24 : 8;
  const what = random.weighted({ advance, jump: 2, kill: 2, powerCut: 2, damage });
  if (what === 'advance') {
    const seconds = random.pick([61, hour, 11 * hour, 13 * hour, 25 * hour, 15 * 24 * hour]);
    scheduler.log.push(`advance ${seconds}`);
    clock.advance(seconds);
  } else if (what === 'jump') {
    const seconds = random.pick([-2 * hour, 26 * hour, 30 * 24 * hour]);
    scheduler.log.push(`jump ${seconds}`);
    clock.jump(seconds);
  } else if (what === 'damage') world.damage();
  else {
    world.crash(what === 'kill' ? 'kill' : 'power cut');
    if (random.chance(0.3)) clock.jump(3 * 24 * hour);
    await world.boot();
  }
  return true;
}

/** Lets everything come to rest: after all leases and delays only what is needed may be left. */
async function quiet(world: World): Promise<void> {
  const { scheduler, clock, expectations } = world;
  for (let round = 0; round < 3; round += 1) {
    // A killed process forgets the uptime since it was last written, which is how long things may be kept too long.
    clock.advance(400 * 24 * hour);
    scheduler.start('the last collection', async () => {
      const { sweep, collector, unlinks, metadata } = world.registry;
      await sweep.endStaleUploads();
      await collector.collect(modelRun(), { dryRun: false, now: true, force: true });
      clock.advance(100);
      await unlinks.removeDue();
      await sweep.removeOrphanUploads();
      await metadata.advanceClock();
    });
    expectations.giveUpTrash();
    expectations.giveUpTrash();
    await scheduler.drain(() => expectations.check());
  }
  expectations.checkQuiet();
}
