// Reads that are remembered: nothing that was committed is missed, and memory is bounded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRepositoryName } from '../../src/oci/name.ts';
import { RememberedReads } from '../../src/storage/sqlite/remembered-reads.ts';

const app = parseRepositoryName('acme/app');
const web = parseRepositoryName('acme/web');

test('a value is read once until something is committed', () => {
  let commits = 0;
  let reads = 0;
  const remembered = new RememberedReads<string>(() => commits);
  const find = () => remembered.find(app, 'v1', () => `read ${++reads}`);
  assert.deepEqual([find(), find()], ['read 1', 'read 1']);
  commits += 1;
  assert.deepEqual([find(), find()], ['read 2', 'read 2']);
});

test('repositories and keys are told apart', () => {
  const remembered = new RememberedReads<string>(() => 0);
  assert.equal(
    remembered.find(app, 'v1', () => 'app v1'),
    'app v1',
  );
  assert.equal(
    remembered.find(app, 'v2', () => 'app v2'),
    'app v2',
  );
  assert.equal(
    remembered.find(web, 'v1', () => 'web v1'),
    'web v1',
  );
});

test('what is not there is asked for each time', () => {
  const remembered = new RememberedReads<string>(() => 0);
  assert.equal(
    remembered.find(app, 'v1', () => undefined),
    undefined,
  );
  assert.equal(
    remembered.find(app, 'v1', () => 'there now'),
    'there now',
  );
});

test('a fault of the read reaches the caller and is not remembered', () => {
  const remembered = new RememberedReads<string>(() => 0);
  const fail = () => {
    throw new Error('unreadable');
  };
  assert.throws(() => remembered.find(app, 'v1', fail), /unreadable/);
  assert.equal(
    remembered.find(app, 'v1', () => 'read'),
    'read',
  );
});

test('the memory of values is bounded: a heavy one is not kept, and many are let go', () => {
  let reads = 0;
  const remembered = new RememberedReads<number>(
    () => 0,
    (bytes) => bytes,
  );
  const find = (key: string, bytes: number) =>
    remembered.find(app, key, () => {
      reads += 1;
      return bytes;
    });
  find('heavy', 64 * 1024 + 1);
  find('heavy', 64 * 1024 + 1);
  assert.equal(reads, 2);
  reads = 0;
  for (let index = 0; index < 100; index += 1) find(`v${index}`, 60 * 1024);
  for (let index = 0; index < 100; index += 1) find(`v${index}`, 60 * 1024);
  assert.ok(reads > 100, 'not all of 6 MB was kept');
});
