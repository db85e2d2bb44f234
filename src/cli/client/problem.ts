// What a refusal of the management API (RFC 9457, problem details) means for a command: a sentence and an exit code.
import { CommandError, type ExitCode, exitCodes } from '../exit-codes.ts';

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string | undefined;
  readonly requestId: string | undefined;
  readonly errors: readonly { readonly pointer: string; readonly detail: string }[];
}

const exitCodeOf: Readonly<Record<string, ExitCode>> = {
  unauthenticated: exitCodes.notAllowed,
  denied: exitCodes.notAllowed,
  'not-found': exitCodes.absent,
  exists: exitCodes.refused,
  conflict: exitCodes.refused,
  immutable: exitCodes.refused,
  'quota-exceeded': exitCodes.refused,
  'read-only': exitCodes.refused,
  'precondition-failed': exitCodes.refused,
  'precondition-required': exitCodes.refused,
};

/** A command's end by an answer that is no success, of the registry or of a proxy before it. */
export class AnswerError extends CommandError {
  readonly status: number;

  constructor(status: number, code: ExitCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
    this.status = status;
  }
}

/** A command's end with the server's own words. `problem` stays readable for commands that know better what to say. */
export class ProblemError extends AnswerError {
  readonly problem: Problem;

  constructor(problem: Problem, message: string) {
    super(problem.status, exitCodeOf[problem.code] ?? exitCodes.failed, message);
    this.problem = problem;
  }
}

/** The error for an answer that is no success. `asker` names the registry, for answers that are not Berth's. */
export function problemError(status: number, contentType: string, body: string, asker: string): AnswerError {
  const problem = parseProblem(status, contentType, body);
  if (problem === undefined) {
    const message = `${asker} answered ${status} and not in the way of Berth's management API; is it Berth?`;
    return new AnswerError(status, status === 401 ? exitCodes.notAllowed : exitCodes.failed, message);
  }
  const lines = [problem.detail ?? problem.title];
  // One fault alone is the detail itself.
  const faults = problem.errors.filter(({ detail }) => detail !== problem.detail);
  for (const { pointer, detail } of faults) lines.push(`  ${pointer}: ${detail}`);
  if (problem.requestId !== undefined) lines[0] += ` (request ${problem.requestId})`;
  return new ProblemError(problem, lines.join('\n'));
}

function parseProblem(status: number, contentType: string, body: string): Problem | undefined {
  if (!/^application\/(problem\+)?json\b/.test(contentType)) return undefined;
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(body) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (typeof fields !== 'object' || fields === null || typeof fields.code !== 'string') return undefined;
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  const errors = Array.isArray(fields.errors) ? (fields.errors as Record<string, unknown>[]) : [];
  return {
    status,
    code: fields.code,
    title: text(fields.title) ?? `status ${status}`,
    detail: text(fields.detail),
    requestId: text(fields.requestId),
    errors: errors.map((one) => ({ pointer: text(one.pointer) ?? '', detail: text(one.detail) ?? '' })),
  };
}
