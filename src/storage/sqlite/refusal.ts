// How an intention that has begun takes back all it wrote and still has an answer: group-commit.ts catches it.

/** Takes the whole intention back and answers with `outcome`. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly outcome: unknown;
  constructor(outcome: unknown) {
    super('refused');
    this.outcome = outcome;
  }
}
