// How endpoints of the management API are declared: what one needs, takes and answers in one place. From that the routes, the
// checks, the OpenAPI document and the common manners are made: entity tags, preconditions, dry runs, Location and Link.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, type TSchema, Type } from 'typebox';
import type { Principal } from '../../../auth/access.ts';
import type { Rights } from '../../../auth/rights.ts';
import type { Origin } from '../../../storage/metadata-store.ts';
import { linkTo } from '../../context.ts';
import { originOf, principalOf } from '../../guard.ts';
import type { ApiContext } from './context.ts';
import { checkPreconditions, entityTagOf, isKnown } from './entity-tags.ts';
import type { Need } from './need.ts';
import { decideAgain } from './needs-guard.ts';
import { type ListPage, writeCursor } from './pages.ts';
import { Problem, problemSchema } from './problem.ts';
import { dryRun, strict } from './schemas.ts';
import { Turns } from './turns.ts';

export const basePath = '/api/v1';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** The parameters that a path names: '/users/:user/tokens/:id' → {user, id}. */
export type ParamsOf<Url extends string> = Url extends `${string}:${infer Name}/${infer Rest}`
  ? { readonly [Key in Name]: string } & ParamsOf<`/${Rest}`>
  : Url extends `${string}:${infer Name}`
    ? { readonly [Key in Name]: string }
    : unknown;

/** One request as a handler sees it. */
export interface Call<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly principal: Principal;
  /** What the caller may. Throws in mode open and on endpoints for anyone, where nobody signed in. */
  readonly rights: Rights;
  readonly origin: Origin;
  /** Unix seconds. */
  readonly now: number;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

export type Answer =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'object';
      readonly status: 200 | 201 | 202;
      readonly body: object;
      /** What the entity tag is made of; default: the body. */
      readonly tagged: object;
      readonly location: string | undefined;
    }
  | { readonly kind: 'list'; readonly page: ListPage<object> }
  /** The handler sends on its own. */
  | { readonly kind: 'sent'; readonly reply: FastifyReply };

/** 200 with an object. `tagged`: the part of it that its entity tag is about, where the rest moves by itself. */
export function found(body: object, tagged: object = body): Answer {
  return { kind: 'object', status: 200, body, tagged, location: undefined };
}

/** 201 with the object and where it is. `once` is told this once and is no part of the object: a secret. */
export function created(location: string, body: object, once: object = {}): Answer {
  return {
    kind: 'object',
    status: 201,
    body: { ...body, ...once },
    tagged: body,
    location: basePath + location,
  };
}

/** 202 with an operation that goes on, and where it is told of. */
export function accepted(location: string, body: object): Answer {
  return { kind: 'object', status: 202, body, tagged: body, location: basePath + location };
}

export function list(page: ListPage<object>): Answer {
  return { kind: 'list', page };
}

export const nothing: Answer = { kind: 'none' };

export interface Endpoint<Url extends string, Query extends TSchema, Body extends TSchema> {
  readonly need: readonly Need[];
  /** One line for the OpenAPI document. */
  readonly summary: string;
  readonly description?: string;
  readonly query?: Query;
  readonly body?: Body;
  /** What it answers when it goes well, by status. */
  readonly answers: Readonly<Record<number, TSchema>>;
  /** The media type of that, where it is not JSON. */
  readonly mediaType?: string;
  /** About content: everybody's in mode open. */
  readonly content?: boolean;
  /** Takes text/plain. */
  readonly textBody?: boolean;
  /** Whether it changes something also while the registry is read-only. By default what is taken away (DELETE) may. */
  readonly whileReadOnly?: boolean | ((body: Static<Body>) => boolean);
  /** Takes long and changes no object: others need not wait for it. */
  readonly waitsAlone?: boolean;
  /** The object as its entity tag sees it, for If-Match; undefined where nothing is there. */
  readonly current?: (call: Call<ParamsOf<Url>, Static<Query>, Static<Body>>) => Promise<object | undefined>;
  /**
   * What it would do: makes it take ?dryRun=true. Throws what the change would throw, but for the registry being read-only; and
   * writes nothing.
   */
  readonly plan?: (call: Call<ParamsOf<Url>, Static<Query>, Static<Body>>) => Promise<object>;
  /** What the plan looks like, `dryRun` included, where the document is to tell it. */
  readonly planned?: TSchema;
  readonly handle: (call: Call<ParamsOf<Url>, Static<Query>, Static<Body>>) => Promise<Answer>;
}

// Where an endpoint takes no body, an empty object or nothing at all.
type AnyEndpoint = Endpoint<string, TSchema, TSchema>;

const plan = Type.Object({ dryRun: Type.Literal(true) }, { description: 'What would happen.' });

export class Routes {
  readonly #api: FastifyInstance;
  readonly #context: ApiContext;
  readonly #turns = new Turns();

  /** `api` is the context that answers under the base path. */
  constructor(api: FastifyInstance, context: ApiContext) {
    this.#api = api;
    this.#context = context;
  }

  /** Declares an endpoint. `handler` names it in logs and metrics and groups it in the OpenAPI document. */
  declare<Url extends string, Query extends TSchema, Body extends TSchema>(
    handler: string,
    method: Method,
    url: Url,
    endpoint: Endpoint<Url, Query, Body>,
  ): void {
    const any = endpoint as unknown as AnyEndpoint;
    const { need, content = false, textBody = false } = any;
    this.#api.route({
      method,
      url,
      exposeHeadRoute: false,
      config: { need, content, textBody, handler: `api ${handler}` },
      schema: schemaOf(handler, url, method, any),
      handler: (request, reply) => this.#answer(any, url, request, reply),
    });
  }

  #refuseWhileReadOnly(): void {
    const { message } = this.#context.registry.writes.readOnly();
    if (message !== undefined) throw new Problem('read-only', message);
  }

  async #answer(endpoint: AnyEndpoint, url: string, request: FastifyRequest, reply: FastifyReply) {
    const call = callOf(request, reply, this.#context.clock.unixSeconds());
    if (endpoint.body === undefined) refuseBody(request);
    const { plan: makePlan, whileReadOnly = request.method === 'DELETE' } = endpoint;
    // Some say what they would do on their own, in the same shape as what they did.
    const isPlan = (call.query as { dryRun?: boolean }).dryRun === true;
    const goesOn = typeof whileReadOnly === 'function' ? whileReadOnly(call.body) : whileReadOnly;
    if (request.method !== 'GET' && !isPlan && !goesOn) this.#refuseWhileReadOnly();
    const act = async () => {
      if (request.method !== 'GET') {
        await decideAgain(request, this.#context);
        await holdToPreconditions(endpoint, call);
      }
      if (isPlan && makePlan !== undefined) return found({ dryRun: true, ...(await makePlan(call)) });
      return await endpoint.handle(call);
    };
    const isAlone = request.method === 'GET' || isPlan || endpoint.waitsAlone === true;
    const key = isAlone ? undefined : lockOf(url, call.params as Record<string, string>);
    const answer = key === undefined ? await act() : await this.#turns.take(key, act);
    return send(this.#context, call, answer);
  }
}

// All changes below one object take turns: /users/alice and /users/alice/disable.
function lockOf(url: string, params: Readonly<Record<string, string>>): string | undefined {
  const [, noun = '', name] = url.split('/');
  return name?.startsWith(':') ? `${noun}/${params[name.slice(1)]}` : undefined;
}

function callOf(request: FastifyRequest, reply: FastifyReply, now: number): Call<unknown, unknown, unknown> {
  return {
    params: request.params,
    query: request.query,
    body: request.body,
    principal: principalOf(request),
    get rights() {
      if (request.rights === undefined) throw new Error('nobody signed in here');
      return request.rights;
    },
    origin: originOf(request),
    now,
    request,
    reply,
  };
}

async function holdToPreconditions(endpoint: AnyEndpoint, call: Call<never, never, never>): Promise<void>;
async function holdToPreconditions(
  endpoint: AnyEndpoint,
  call: Call<unknown, unknown, unknown>,
): Promise<void>;
async function holdToPreconditions({ current }: AnyEndpoint, call: Call<unknown, unknown, unknown>) {
  const { headers } = call.request;
  if (headers['if-match'] === undefined && headers['if-none-match'] === undefined) return;
  if (current === undefined) {
    throw new Problem(
      'precondition-failed',
      'there is no object here that If-Match or If-None-Match could be about',
    );
  }
  checkPreconditions(headers, await current(call as Parameters<typeof current>[0]));
}

function refuseBody({ body }: FastifyRequest): void {
  const isEmpty = typeof body === 'object' && body !== null && Object.keys(body).length === 0;
  if (body === undefined || body === null || isEmpty) return;
  throw new Problem('invalid', 'this takes no body', {
    errors: [{ pointer: '', detail: 'nothing is taken here' }],
  });
}

function send(context: ApiContext, { request, reply }: Call<unknown, unknown, unknown>, answer: Answer) {
  switch (answer.kind) {
    case 'none':
      return reply.code(204).send();
    case 'sent':
      return answer.reply;
    case 'list':
      return sendList(context, request, reply, answer.page);
    case 'object': {
      const tag = entityTagOf(answer.tagged);
      reply.code(answer.status).header('etag', tag);
      if (answer.location !== undefined) reply.header('location', linkTo(context, request, answer.location));
      const isWhole = request.method === 'GET' && answer.tagged === answer.body;
      if (isWhole && isKnown(request.headers['if-none-match'], tag)) return reply.code(304).send();
      return sendJson(reply, answer.body);
    }
  }
}

function sendList(context: ApiContext, request: FastifyRequest, reply: FastifyReply, page: ListPage<object>) {
  const next = page.next === undefined ? null : writeCursor(page.next);
  if (next !== null) {
    const [path = '', query = ''] = (request.originalUrl ?? '').split('?');
    const parameters = new URLSearchParams(query);
    parameters.set('cursor', next);
    reply.header('link', `<${linkTo(context, request, `${path}?${parameters}`)}>; rel="next"`);
  }
  return sendJson(reply, { items: page.items, next });
}

function sendJson(reply: FastifyReply, body: object) {
  return reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
}

function schemaOf(handler: string, url: string, method: Method, endpoint: AnyEndpoint): object {
  const { query, body, answers, mediaType, summary, description, need } = endpoint;
  const names = [...url.matchAll(/:(\w+)/g)].map(([, name = '']) => name);
  const parameters = Object.fromEntries(names.map((name) => [name, Type.String({ minLength: 1 })]));
  const needed = needText(need);
  return {
    tags: [handler],
    operationId: operationId(method, url),
    summary,
    description: description === undefined ? needed : `${description}\n\n${needed}`,
    ...(need.includes('anyone') ? { security: [] } : {}),
    ...(names.length === 0 ? {} : { params: Type.Object(parameters) }),
    querystring: withDryRun(query ?? strict({}), endpoint),
    ...(body === undefined ? {} : { body }),
    ...(endpoint.textBody === true ? { consumes: ['text/plain'] } : {}),
    response: {
      ...(mediaType === undefined ? describe(withPlan(endpoint)) : contentsOf(answers, mediaType)),
      default: {
        description: 'A refusal.',
        content: { 'application/problem+json': { schema: problemSchema } },
      },
    },
  };
}

function needText(need: readonly Need[]): string {
  if (need.includes('anyone')) return 'Anyone may.';
  if (need.includes('filtered')) return 'Anyone may, and is shown what the credentials let see.';
  return need.length === 1 ? `Needs: ${need[0]}.` : `Needs one of: ${need.join(', ')}.`;
}

const outcomes: Readonly<Record<string, string>> = {
  200: 'Done.',
  201: 'Made.',
  204: 'Done, and nothing to tell.',
};

/** OpenAPI wants a description of every answer. */
function describe(answers: Readonly<Record<number, TSchema>>): object {
  return Object.fromEntries(
    Object.entries(answers).map(([status, schema]) => [
      status,
      'description' in schema ? schema : { ...schema, description: outcomes[status] ?? 'Done.' },
    ]),
  );
}

function contentsOf(answers: Readonly<Record<number, TSchema>>, mediaType: string): object {
  const content = (schema: TSchema) => ({ description: 'Done.', content: { [mediaType]: { schema } } });
  return Object.fromEntries(Object.entries(answers).map(([status, schema]) => [status, content(schema)]));
}

/** Beside what it answers when it is done. */
function withPlan({
  answers,
  plan: makePlan,
  planned = plan,
}: AnyEndpoint): Readonly<Record<number, TSchema>> {
  if (makePlan === undefined) return answers;
  const { 200: done } = answers;
  return { ...answers, 200: done === undefined ? planned : Type.Union([done, planned]) };
}

function withDryRun(query: TSchema, endpoint: AnyEndpoint): TSchema {
  if (endpoint.plan === undefined) return query;
  const { properties = {} } = query as { properties?: Record<string, TSchema> };
  return strict({ ...properties, dryRun });
}

/** 'POST', '/users/:user/tokens' → 'postUsersUserTokens'. */
function operationId(method: Method, url: string): string {
  const words = url.split(/[^A-Za-z0-9]+/).filter((word) => word !== '');
  return [method.toLowerCase(), ...words.map((word) => (word[0] ?? '').toUpperCase() + word.slice(1))].join(
    '',
  );
}
