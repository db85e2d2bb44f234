// The management API under /api/v1 as an ordered table of contents: its own context of Fastify, with JSON bodies, problem
// details and its own answers to what is not there.
import type { FastifyInstance } from 'fastify';
import { accessRoutes } from './access.ts';
import { auditRoutes } from './audit.ts';
import { backupRoutes } from './backups.ts';
import { parseBodies } from './bodies.ts';
import type { ApiContext } from './context.ts';
import { damageRoutes } from './damage.ts';
import { grantRoutes } from './grants.ts';
import { keyRoutes } from './keys.ts';
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
import { retentionRoutes } from './retention.ts';
import { retentionRunRoutes } from './retention-runs.ts';
import { robotRoutes } from './robots.ts';
import { basePath, Routes } from './route.ts';
import { sessionRoutes } from './sessions.ts';
import { setPasswordRoutes } from './set-password.ts';
import { teamRoutes } from './teams.ts';
import { tokenRoutes } from './tokens.ts';
import { usageRoutes } from './usage.ts';
import { userChangeRoutes } from './user-changes.ts';
import { userRoutes } from './users.ts';
import { compileValidator } from './validation.ts';

/** Registers the management API. The guard of `app` has to decide by `needGuard`. */
export function managementApi(app: FastifyInstance, context: ApiContext): void {
  app.register(
    async (api) => {
      requireNeeds(api);
      api.setErrorHandler(replyWithProblem);
      api.setValidatorCompiler(compileValidator);
      // Answers are JSON text already; their schemas are for the document.
      api.setSerializerCompiler(() => (value) => JSON.stringify(value));
      parseBodies(api, context.config.limits);
      api.addHook('onSend', async (_request, reply) => {
        reply
          .removeHeader('docker-distribution-api-version')
          .header('cache-control', 'no-store')
          .header('referrer-policy', 'no-referrer')
          .header('cross-origin-opener-policy', 'same-origin')
          .header('cross-origin-resource-policy', 'same-origin');
        if (!reply.hasHeader('content-security-policy')) {
          reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
        }
      });
      api.setNotFoundHandler(() => {
        throw new Problem('not-found', 'there is no such endpoint; /api/v1/docs lists them all');
      });
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
      repositoryRoutes(routes, context);
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
      routes.refuseOtherMethods();
    },
    { prefix: basePath },
  );
}
