import type { Sown } from './world.ts';
export const faults: Readonly<Record<string, Sown>> = {};
