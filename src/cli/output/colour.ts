// Colours on a terminal, unless NO_COLOR says otherwise (https://no-color.org).
import { styleText } from 'node:util';
import type { Surroundings } from '../context.ts';

/** `text` in a colour where it is seen as one. */
export function colourOf(
  colour: 'green' | 'yellow' | 'red' | 'dim',
  text: string,
  { stdout, environment }: Pick<Surroundings, 'stdout' | 'environment'>,
): string {
  if (stdout.isTTY !== true || (environment.NO_COLOR ?? '') !== '') return text;
  return styleText(colour, text, { validateStream: false });
}
