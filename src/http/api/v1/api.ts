// The management API under /api/v1 as an ordered table of contents: its own context of Fastify, with JSON bodies, problem
// details and its own answers to what is not there.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type DeclaredPaths, targetFaultOf } from '../../unrouted.ts';
import { accessRoutes } from './access.ts';
import { auditRoutes } from './audit.ts';
import { backupRoutes } from './backups.ts';
import { parseBodies } from './bodies.ts';
import type { ApiContext } from './context.ts';
import { damageRoutes } from './damage.ts';
import { deletedRoutes } from './deleted.ts';
import { eventRoutes } from './events.ts';
import { grantRoutes } from './grants.ts';
import { inspectionRoutes } from './inspection.ts';
import { keyRoutes } from './keys.ts';
import { manifestRoutes } from './manifests.ts';
import { meRoutes } from './me.ts';
import { memberRoutes } from './members.ts';
import { namespaceRoutes } from './namespaces.ts';
import { requireNeeds } from './needs-guard.ts';
import { describeRoutes, documentRoutes } from './openapi.ts';
import { operationRoutes } from './operations.ts';
import { organizationRoutes } from './organizations.ts';
import { Problem, replyWithProblem } from './problem.ts';
import { protectionRoutes } from './protection.ts';
import { quotaRoutes } from './quotas.ts';
import { registryRoutes } from './registry.ts';
import { repositoryRoutes } from './repositories.ts';
import { repositoryListRoutes } from './repository-lists.ts';
import { retentionRoutes } from './retention.ts';
import { retentionRunRoutes } from './retention-runs.ts';
import { robotRoutes } from './robots.ts';
import { basePath, Routes } from './route.ts';
import { sessionRoutes } from './sessions.ts';
import { setPasswordRoutes } from './set-password.ts';
import { tagSettingRoutes } from './tag-setting.ts';
import { tagRoutes } from './tags.ts';
import { teamRoutes } from './teams.ts';
import { tokenRoutes } from './tokens.ts';
import { usageRoutes } from './usage.ts';
import { userChangeRoutes } from './user-changes.ts';
import { userRoutes } from './users.ts';
import { compileValidator, loadValidation } from './validation.ts';
import { webhookRoutes } from './webhooks.ts';

/** Registers the management API. The guard of `app` has to decide by `needGuard`. */
export function managementApi(app: FastifyInstance, context: ApiContext, paths: DeclaredPaths): void {
  app.register(
    async (api) => {
      requireNeeds(api);
      api.setErrorHandler(replyWithProblem);
      api.setValidatorCompiler(compileValidator);
      api.addHook('preValidation', loadValidation);
      // Answers are JSON text already; their schemas are for the document.
      api.setSerializerCompiler(() => (value) => JSON.stringify(value));
      parseBodies(api, context.config.limits);
      api.addHook('onSend', async (_request, reply) => {
        reply.removeHeader('docker-distribution-api-version').header('cache-control', 'no-store');
        if (!reply.hasHeader('content-security-policy')) {
          reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
        }
      });
      api.setNotFoundHandler(refuseUnroutedCalls(paths));
      await describeRoutes(api, context);
      const routes = new Routes(api, context);
      registryRoutes(routes, context);
      documentRoutes(api, routes);
      keyRoutes(routes, context);
      meRoutes(routes, context);
      setPasswordRoutes(routes, context);
      userRoutes(routes, context);
      userChangeRoutes(routes, context);
      tokenRoutes(routes, context);
      sessionRoutes(routes, context);
      namespaceRoutes(routes, context);
      organizationRoutes(routes, context);
      memberRoutes(routes, context);
      teamRoutes(routes, context);
      repositoryListRoutes(routes, context);
      repositoryRoutes(routes, context);
      inspectionRoutes(routes, context);
      tagRoutes(routes, context);
      tagSettingRoutes(routes, context);
      manifestRoutes(routes, context);
      deletedRoutes(routes, context);
      robotRoutes(routes, context);
      grantRoutes(routes, context);
      accessRoutes(routes, context);
      auditRoutes(routes, context);
      operationRoutes(routes, context);
      damageRoutes(routes, context);
      quotaRoutes(routes, context);
      protectionRoutes(routes, context);
      retentionRoutes(routes, context);
      retentionRunRoutes(routes, context);
      usageRoutes(routes, context);
      backupRoutes(routes, context);
      webhookRoutes(routes, context);
      eventRoutes(routes, context);
    },
    { prefix: basePath },
  );
}

// As http/unrouted.ts does it for everything else.
function refuseUnroutedCalls(paths: DeclaredPaths): (request: FastifyRequest) => never {
  return (request) => {
    const fault = targetFaultOf(request);
    if (fault !== undefined) throw fault;
    const allow = paths.methodsFor(request).join(', ');
    if (allow === '')
      throw new Problem('not-found', 'there is no such endpoint; /api/v1/docs lists them all');
    throw new Problem('invalid', `this takes ${allow} only`, { status: 405, headers: { allow } });
  };
}
