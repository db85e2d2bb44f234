// What Linux tells about the processes of a server: who belongs to it and how much memory it holds.
import { readdirSync, readFileSync } from 'node:fs';

const mebibyte = 1 << 20;

/** `pid` and all processes below it. Ended ones are left out. */
export function treeOf(pid: number): number[] {
  const tree = [pid];
  for (const thread of listThreads(pid)) {
    const children = readOrEmpty(`/proc/${pid}/task/${thread}/children`).split(' ');
    for (const child of children.filter((text) => text !== '')) tree.push(...treeOf(Number(child)));
  }
  return tree;
}

function listThreads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Resident memory of `pid` and its descendants in MiB: what it is now, and the sum of each one's highest so far. */
export function residentMemory(pid: number): { now: number; highest: number } {
  let now = 0;
  let highest = 0;
  for (const member of treeOf(pid)) {
    const status = readOrEmpty(`/proc/${member}/status`);
    now += kibibytes(status, 'VmRSS');
    highest += kibibytes(status, 'VmHWM');
  }
  return { now: (now * 1024) / mebibyte, highest: (highest * 1024) / mebibyte };
}

function kibibytes(status: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
}
