// Runs seeds from the command line: node test/model/seeds.ts FIRST [COUNT]. With one seed, shows its steps when it fails.
import { installFiles } from './files.ts';

installFiles();
const { runSeed } = await import('./run.ts');
const { faults } = await import('./faults.ts');
const first = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 1);
const sown = process.argv[4] === undefined ? {} : faults[process.argv[4] as keyof typeof faults];
let steps = 0;
const started = performance.now();
for (let seed = first; seed < first + count; seed += 1) {
  const outcome = await runSeed(seed, sown);
  steps += outcome.steps;
  if (outcome.failure === undefined) continue;
  process.stdout.write(`${outcome.log.join('\n')}\nseed ${seed}: `);
  console.error(outcome.failure.error);
  process.exitCode = 1;
  break;
}
process.stdout.write(`${steps} steps in ${Math.round(performance.now() - started)} ms\n`);
