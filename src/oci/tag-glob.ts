// Patterns of tags: `*` any characters or none, `?` one, `[a-z]` one of these, `[!a-z]` one of the others, `{a,b}` either. The
// whole tag has to fit. They are compiled once, and no pattern takes more than the product of the lengths: whoever may write
// rules must not be able to hold up the registry with one.

/** The pattern cannot be. The message is a sentence for a person. */
export class InvalidGlobError extends Error {
  override readonly name = 'InvalidGlobError';
}

export interface TagGlob {
  matches(tag: string): boolean;
  /** What every tag that fits begins with; empty where that differs. */
  readonly prefix: string;
}

/** Longer than any tag, with room for braces. */
const longestGlob = 300;
/** Braces multiply. */
const mostAlternatives = 64;

/** One character that fits, or any number of them. */
type Token = 'star' | ((character: string) => boolean);

/** Compiles a pattern. Throws InvalidGlobError. */
export function compileTagGlob(text: string): TagGlob {
  if (text === '') throw new InvalidGlobError('a pattern of tags is not empty: * is every tag');
  if (text.length > longestGlob) {
    throw new InvalidGlobError(`a pattern of tags has at most ${longestGlob} characters`);
  }
  const alternatives = expandBraces(text);
  const compiled = alternatives.map((alternative) => tokensOf(alternative, text));
  return {
    matches: (tag) => compiled.some((tokens) => fits(tokens, tag)),
    prefix: commonPrefix(alternatives.map((alternative) => alternative.split(/[*?[]/, 1)[0] ?? '')),
  };
}

/** `a{b,c{d,e}}` as the texts that it stands for. */
function expandBraces(text: string): readonly string[] {
  const open = text.indexOf('{');
  if (open < 0) {
    if (text.includes('}')) throw new InvalidGlobError(`${quoted(text)} has a } without its {`);
    return [text];
  }
  const { parts, rest } = splitBraces(text, open);
  const tails = expandBraces(rest);
  const heads = parts.flatMap(expandBraces);
  if (heads.length * tails.length > mostAlternatives) {
    throw new InvalidGlobError(`${quoted(text)} stands for more than ${mostAlternatives} patterns`);
  }
  const before = text.slice(0, open);
  if (before.includes('}')) throw new InvalidGlobError(`${quoted(text)} has a } without its {`);
  return heads.flatMap((head) => tails.map((tail) => before + head + tail));
}

/** The parts between the brace at `open` and the one that closes it, and what follows. */
function splitBraces(
  text: string,
  open: number,
): { readonly parts: readonly string[]; readonly rest: string } {
  const parts: string[] = [];
  let depth = 0;
  let from = open + 1;
  for (let index = open; index < text.length; index++) {
    const character = text[index];
    if (character === '{') depth += 1;
    if (character === ',' && depth === 1) {
      parts.push(text.slice(from, index));
      from = index + 1;
    }
    if (character !== '}') continue;
    depth -= 1;
    if (depth === 0) return { parts: [...parts, text.slice(from, index)], rest: text.slice(index + 1) };
  }
  throw new InvalidGlobError(`${quoted(text)} has a { without its }`);
}

function tokensOf(glob: string, whole: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let index = 0; index < glob.length; index++) {
    const character = glob[index] ?? '';
    if (character === '*') {
      if (tokens.at(-1) !== 'star') tokens.push('star');
    } else if (character === '?') tokens.push(() => true);
    else if (character === '[') {
      // A bracket that comes first belongs to the set.
      const end = glob.indexOf(']', index + (/^\[[!^]/.test(glob.slice(index)) ? 3 : 2));
      if (end < 0) throw new InvalidGlobError(`${quoted(whole)} has a [ without its ]`);
      tokens.push(setOf(glob.slice(index + 1, end), whole));
      index = end;
    } else if (/[A-Za-z0-9._-]/.test(character)) tokens.push((found) => found === character);
    else {
      throw new InvalidGlobError(
        `${quoted(whole)} is no pattern of tags: no tag has ${quoted(character)}. Use letters, digits, . _ - and * ? [a-z] {a,b}`,
      );
    }
  }
  return tokens;
}

function setOf(text: string, whole: string): (character: string) => boolean {
  const isNegated = /^[!^]/.test(text);
  const characters = isNegated ? text.slice(1) : text;
  const ranges: (readonly [string, string])[] = [];
  for (let index = 0; index < characters.length; index++) {
    const from = characters[index] ?? '';
    const to = characters[index + 1] === '-' ? characters[index + 2] : undefined;
    if (to === undefined) ranges.push([from, from]);
    else {
      if (from > to) throw new InvalidGlobError(`${quoted(whole)} has a range that ends before it begins`);
      ranges.push([from, to]);
      index += 2;
    }
  }
  return (character) => ranges.some(([from, to]) => from <= character && character <= to) !== isNegated;
}

/** Goes back to the last star only, which is enough. */
function fits(tokens: readonly Token[], text: string): boolean {
  let at = 0;
  let inText = 0;
  let star = -1;
  let resume = 0;
  while (inText < text.length) {
    const token = tokens[at];
    if (token === 'star') {
      star = at++;
      resume = inText;
    } else if (token?.(text[inText] ?? '')) {
      at++;
      inText++;
    } else if (star >= 0) {
      at = star + 1;
      inText = ++resume;
    } else return false;
  }
  while (tokens[at] === 'star') at++;
  return at === tokens.length;
}

function commonPrefix(texts: readonly string[]): string {
  const [first = '', ...others] = texts;
  let length = first.length;
  for (const other of others) while (!other.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
