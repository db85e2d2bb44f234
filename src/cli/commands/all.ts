// Every command there is. Loaded whole for all but `berth serve`.
import { addAccess } from './access.ts';
import { addAudit } from './audit.ts';
import { addBackup } from './backup.ts';
import { addConfig } from './config.ts';
import { addDeleted } from './deleted.ts';
import { addDoctor } from './doctor.ts';
import { addEvents } from './events.ts';
import { addGc } from './gc.ts';
import { addImage } from './image.ts';
import { addImport } from './import.ts';
import { addKey } from './key.ts';
import { addLogin } from './login.ts';
import { addOperation } from './operation.ts';
import { addOrg } from './org.ts';
import { addProtect } from './protect.ts';
import { addQuota } from './quota.ts';
import { addReadOnly } from './read-only.ts';
import { addRepo } from './repo.ts';
import { addRetention } from './retention.ts';
import { addRobot } from './robot.ts';
import { addScrub } from './scrub.ts';
import { addSearch } from './search.ts';
import { addServe } from './serve.ts';
import { addSession } from './session.ts';
import { addSetup } from './setup.ts';
import { addStatus } from './status.ts';
import { addTag } from './tag.ts';
import { addTeam } from './team.ts';
import { addToken } from './token.ts';
import { addUsage } from './usage.ts';
import { addUser } from './user.ts';
import { addVersion } from './version.ts';
import { addWebhook } from './webhook.ts';
import { addWhoami } from './whoami.ts';

/** In the order of --help. */
export const commands = [
  ...[addServe, addStatus, addDoctor, addConfig, addSetup, addVersion],
  ...[addLogin, addWhoami, addUser, addOrg, addTeam, addRobot, addToken, addSession, addAccess],
  ...[addSearch, addRepo, addTag, addImage, addDeleted, addProtect, addRetention],
  ...[addAudit, addKey, addUsage, addQuota, addGc, addScrub, addBackup, addImport],
  ...[addOperation, addReadOnly, addWebhook, addEvents],
] as const;
