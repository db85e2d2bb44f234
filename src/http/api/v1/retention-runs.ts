// Runs of retention: beginning one, and the reports, for whoever maintains the namespace. As operations administrators see them too.
import { Type } from 'typebox';
import { type OperationView, SameKindRunningError } from '../../../registry/operations.ts';
import type { ApiContext } from './context.ts';
import { operationSchema, showOperation } from './operation-schemas.ts';
import { afterNumber, pageMembers, pageOf } from './pages.ts';
import { notFound, Problem } from './problem.ts';
import { preview, previewSchema } from './retention.ts';
import { accepted, found, list, type Routes } from './route.ts';
import { listOf, strict } from './schemas.ts';

export function retentionRunRoutes(routes: Routes, context: ApiContext): void {
  const { operations, metadata } = context.registry;

  routes.declare('retention', 'POST', '/namespaces/:namespace/retention-runs', {
    need: ['maintain'],
    summary: 'Removes what the rules of the namespace do not keep, in the background; it can be restored.',
    description:
      'One run in the registry at a time: 409 while another one goes on. A dry run answers what the preview does, whose other ' +
      'pages are read there.',
    body: strict({
      dryRun: Type.Optional(Type.Boolean({ description: 'Only tells, in the report, what would go.' })),
    }),
    answers: { 202: operationSchema },
    content: true,
    whileReadOnly: ({ dryRun }) => dryRun === true,
    plan: async (call) => {
      const { namespace } = call.params;
      await needRules(namespace);
      if (call.body.dryRun !== true) context.registry.writes.admitDeletePlan();
      try {
        operations.assertNone('retention');
      } catch (error) {
        throw asConflict(error);
      }
      return await preview(context, { params: call.params, request: call.request, body: {} });
    },
    planned: strict({ dryRun: Type.Literal(true), ...previewSchema.properties }),
    handle: async ({ params, body, origin }) => {
      const { namespace } = params;
      const { dryRun = false } = body;
      await needRules(namespace);
      if (!dryRun) context.registry.writes.admitDelete();
      try {
        const id = await context.care.retain({ namespace, dryRun }, origin);
        const shown = showOperation(await findRun(namespace, String(id)));
        return accepted(`/namespaces/${namespace}/retention-runs/${id}`, shown);
      } catch (error) {
        throw asConflict(error);
      }
    },
  });

  routes.declare('retention', 'GET', '/namespaces/:namespace/retention-runs', {
    need: ['maintain'],
    summary: 'The runs for a namespace and their reports, newest first.',
    query: strict(pageMembers),
    answers: { 200: listOf(operationSchema) },
    content: true,
    handle: async ({ params, query }) => {
      const { namespace } = params;
      if ((await metadata.retention.findRules(namespace)) === undefined)
        throw notFound(`namespace ${namespace}`);
      const limit = query.limit ?? context.config.limits.pageSize;
      const page = await metadata.retention.listRuns({ namespace, before: afterNumber(query), limit });
      const views = await Promise.all(page.items.map(({ id }) => operations.find(id)));
      const items = views.filter((view) => view !== undefined);
      return list(pageOf({ items, more: page.more }, showOperation, ({ id }) => id));
    },
  });

  routes.declare('retention', 'GET', '/namespaces/:namespace/retention-runs/:id', {
    need: ['maintain'],
    summary: 'One run: how far it is, or its report.',
    answers: { 200: operationSchema },
    content: true,
    handle: async ({ params }) => found(showOperation(await findRun(params.namespace, params.id))),
  });

  routes.declare('retention', 'POST', '/namespaces/:namespace/retention-runs/:id/cancel', {
    need: ['maintain'],
    summary: 'Ends a run at its next step. What it removed so far stays removed, and can be restored.',
    answers: { 202: operationSchema },
    content: true,
    whileReadOnly: true,
    handle: async ({ params }) => {
      const { namespace } = params;
      const { id } = await findRun(namespace, params.id);
      if (!operations.cancel(id))
        throw new Problem('conflict', `run ${id} has ended: there is nothing to cancel`);
      const shown = showOperation(await findRun(namespace, String(id)));
      return accepted(`/namespaces/${namespace}/retention-runs/${id}`, shown);
    },
  });

  async function needRules(namespace: string): Promise<void> {
    const set = await metadata.retention.findRules(namespace);
    if (set === undefined) throw notFound(`namespace ${namespace}`);
    if (set.rules === undefined)
      throw new Problem('conflict', `${namespace} has no rules of retention: set some first`);
  }

  async function findRun(namespace: string, id: string): Promise<OperationView> {
    const run = /^[1-9]\d{0,14}$/.test(id) ? await operations.find(Number(id)) : undefined;
    if (run?.kind === 'retention' && run.request.namespace === namespace) return run;
    throw notFound(`run ${id.slice(0, 20)} of retention in ${namespace}`);
  }
}

function asConflict(error: unknown): unknown {
  if (!(error instanceof SameKindRunningError)) return error;
  return new Problem('conflict', 'a run of retention goes on already: try again when it has ended');
}
