// Characters for property tests.
import fc from 'fast-check';

const surrogates = 0x800;
const firstSurrogate = 0xd800;

/** Any character of Unicode. What fast-check calls 'binary' is the same, and takes a second a process to set up. */
export const anyCharacter = fc
  .integer({ min: 0, max: 0x10ffff - surrogates })
  .map((number) => String.fromCodePoint(number < firstSurrogate ? number : number + surrogates));
