// The official conformance suite of the OCI distribution specification, with everything optional switched on. Its
// summary goes to the log of the run, and the counts are checked: a run that tested little would be no proof.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { parse } from 'yaml';
import { makeClientHome } from '../support/client-home.ts';
import { skipWithout } from '../support/programs.ts';
import { type RunningBerth, startBerth } from '../support/running-berth.ts';
import { password } from '../support/sign-in.ts';
import { startSignInBerth } from '../support/sign-in-berth.ts';

/** The suite's own defaults leave these out. */
const EVERYTHING = {
  OCI_API_BLOBS_DIGEST_HEADER: 'true',
  OCI_API_BLOBS_UPLOAD_CANCEL: 'true',
  OCI_API_BLOBS_MOUNT_ANONYMOUS: 'true',
  OCI_API_MANIFESTS_DIGEST_HEADER: 'true',
  OCI_API_MANIFESTS_TAG_PARAM: 'true',
  OCI_DATA_SHA512: 'true',
};

interface Run {
  readonly name: string;
  readonly version: string;
  readonly sparse: boolean;
  /** In mode token, as a user in the own namespace. */
  readonly signedIn?: boolean;
}

const RUNS: readonly Run[] = [
  { name: 'version 1.1', version: '1.1', sparse: false },
  { name: 'the development version', version: 'dev', sparse: false },
  { name: 'version 1.1 with sparse content', version: '1.1', sparse: true },
  { name: 'the development version with sparse content', version: 'dev', sparse: true },
  { name: 'version 1.1, signed in', version: '1.1', sparse: false, signedIn: true },
  { name: 'the development version, signed in', version: 'dev', sparse: false, signedIn: true },
];

const USER = 'conformance';

/** The suite's tokens name the target of a mount alone, and give nothing from repositories that they do not name. */
const MOUNTS_THAT_FALL_BACK = 4;

async function startWithUser(t: TestContext): Promise<RunningBerth> {
  const berth = await startSignInBerth(t);
  await berth.addUsers(USER);
  return berth;
}

interface Results {
  readonly apis: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, string>>;
}

const skip = skipWithout('conformance');

for (const { name, version, sparse, signedIn = false } of RUNS) {
  test(`the OCI conformance suite finds no fault: ${name}`, { skip }, async (t) => {
    const environment = sparse ? { BERTH_STORAGE_SPARSE_MANIFESTS: 'all' } : {};
    const berth = signedIn ? await startWithUser(t) : await startBerth(t, { environment });
    const home = await makeClientHome(t);
    const { stdout } = await home.run('conformance', [], {
      environment: {
        ...home.environment,
        ...EVERYTHING,
        // Both repositories of the suite are below `conformance/`, which is this user's.
        ...(signedIn ? { OCI_USERNAME: USER, OCI_PASSWORD: password } : {}),
        OCI_REGISTRY: berth.host,
        OCI_TLS: 'disabled',
        OCI_VERSION: version,
        OCI_DATA_SPARSE: String(sparse),
        OCI_RESULTS_DIR: home.path('results'),
      },
      expect: 'either',
    });
    // Up to here the report repeats every single test; from here it is the summary.
    const summary = stdout.slice(Math.max(0, stdout.indexOf('OCI Conformance Result')));
    console.log(`conformance, ${name}\n${summary.trimEnd()}`);

    const counts = parseCounts(summary);
    const faults = stdout.split('\n').filter((line) => /: (FAIL|Error)$/.test(line) || /^ +- /.test(line));
    assert.equal(counts.FAIL, 0, faults.join('\n'));
    assert.equal(counts.Error, 0, faults.join('\n'));
    assert.equal(counts.Skip, signedIn ? MOUNTS_THAT_FALL_BACK : 0, stdout);
    const least = sparse ? 1032 : signedIn ? 974 : 986;
    assert.ok(counts.Pass >= least, `only ${counts.Pass} tests passed`);

    const results: Results = parse(await readFile(home.path('results', 'results.yaml'), 'utf8'));
    assert.deepEqual(namesOtherThanPass(results.apis), signedIn ? ['Blob anonymous mount'] : []);
    assert.deepEqual(namesOtherThanPass(results.data), sparse ? [] : ['Sparse Manifests']);
  });
}

type Status = 'Disabled' | 'Skip' | 'Pass' | 'FAIL' | 'Error' | 'Total';

function parseCounts(summary: string): Readonly<Record<Status, number>> {
  const count = (status: Status) => {
    const found = new RegExp(`^ +${status}\\.*: +(\\d+)$`, 'm').exec(summary);
    assert(found !== null, `the summary has no line for ${status}:\n${summary}`);
    return Number(found[1]);
  };
  return {
    Disabled: count('Disabled'),
    Skip: count('Skip'),
    Pass: count('Pass'),
    FAIL: count('FAIL'),
    Error: count('Error'),
    Total: count('Total'),
  };
}

function namesOtherThanPass(statuses: Readonly<Record<string, string>>): string[] {
  return Object.entries(statuses)
    .filter(([, status]) => status !== 'Pass')
    .map(([name]) => name);
}
