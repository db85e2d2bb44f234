// Each of many mistakes is made on purpose, and the model has to find it: a model that finds nothing proves nothing.
import { test } from 'node:test';
import { installFiles } from './files.ts';

installFiles();
const { runSeed } = await import('./run.ts');
const { faults } = await import('./faults.ts');

const mostSeeds = 1000;

for (const [name, sown] of Object.entries(faults)) {
  test(`the model finds it when ${name}`, async (t) => {
    for (let seed = 1; seed <= mostSeeds; seed += 1) {
      const { failure } = await runSeed(seed, sown);
      if (failure === undefined) continue;
      t.diagnostic(`seed ${seed}: ${(failure.error as Error).message}`);
      return;
    }
    throw new Error(`${mostSeeds} seeds found nothing`);
  });
}
