-- Access: who there is, what they may, how they prove it, and the audit columns of the event log.
-- Unix time (`..._at`) is what credentials and grants expire by: a person named the date.
--
-- instance.policy_generation counts every change of this file's tables that can change a decision; compiled policy is thrown
-- away when it moves.

INSERT INTO instance (key, value) VALUES ('policy_generation', '0');

-- A namespace that was given up: its name stays reserved.
ALTER TABLE namespace ADD COLUMN removed_at INTEGER;

-- What a namespace shows of itself: how many repositories it has, and which.
CREATE INDEX repository_live_in_namespace ON repository (namespace_id, name) WHERE state = 'live';

-- Names without a slash belong to `library`, robots of the registry itself to `system`; both have no owner but the administrators.
INSERT INTO namespace (name, kind, created_at) VALUES ('library', 'organization', 0), ('system', 'organization', 0)
  ON CONFLICT (name) DO UPDATE SET kind = 'organization';

-- ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- 'alice', 'acme+ci' (robot), 'acme/dev' (team). AUTOINCREMENT: a token names its subject by id, which is never used again.
CREATE TABLE subject (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL CHECK (kind IN ('anonymous', 'authenticated', 'user', 'robot', 'team')),
  name TEXT NOT NULL UNIQUE,
  namespace_id INTEGER REFERENCES namespace,          -- robot and team: where it belongs; user: the own one (guests: none)
  role TEXT CHECK (role IN ('user', 'auditor', 'administrator')),
  guest INTEGER NOT NULL DEFAULT 0,
  full_name TEXT,
  email TEXT,
  description TEXT NOT NULL DEFAULT '',
  password_hash TEXT,                                  -- bcrypt; NULL: nothing signs in by password
  password_generation INTEGER NOT NULL DEFAULT 0,      -- counts changes: what an older password obtained is void
  created_at INTEGER NOT NULL,
  disabled_at INTEGER,
  removed_at INTEGER                                   -- a removed user keeps its row, and so its name
) STRICT;
CREATE INDEX subject_in_namespace ON subject (namespace_id, kind, name);
CREATE INDEX subject_user ON subject (name) WHERE kind = 'user' AND removed_at IS NULL;
CREATE INDEX subject_administrator ON subject (role) WHERE role = 'administrator' AND disabled_at IS NULL AND removed_at IS NULL;
INSERT INTO subject (kind, name, created_at) VALUES ('anonymous', 'anonymous', 0), ('authenticated', 'authenticated', 0);

CREATE TABLE organization_member (
  namespace_id INTEGER NOT NULL REFERENCES namespace ON DELETE CASCADE,
  subject_id INTEGER NOT NULL REFERENCES subject ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (role IN ('owner', 'member')),
  PRIMARY KEY (namespace_id, subject_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX organization_member_by_subject ON organization_member (subject_id);

CREATE TABLE team_member (
  team_id INTEGER NOT NULL REFERENCES subject ON DELETE CASCADE,
  subject_id INTEGER NOT NULL REFERENCES subject ON DELETE CASCADE,
  PRIMARY KEY (team_id, subject_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX team_member_by_subject ON team_member (subject_id);

-- ── what they may ────────────────────────────────────────────────────────────────────────────────────────────────────

-- namespace_id NULL: the registry, pattern '**'. Roles: 1 read, 2 write, 3 maintain, 4 admin.
CREATE TABLE access_grant (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  namespace_id INTEGER REFERENCES namespace ON DELETE CASCADE,
  subject_id INTEGER NOT NULL REFERENCES subject ON DELETE CASCADE,
  pattern TEXT NOT NULL,
  role INTEGER NOT NULL CHECK (role BETWEEN 1 AND 4),
  expires_at INTEGER,
  granted_by TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX access_grant_one ON access_grant (subject_id, pattern);
CREATE INDEX access_grant_of_subject ON access_grant (subject_id, id);
CREATE INDEX access_grant_in_namespace ON access_grant (namespace_id, id);

-- ── how they prove it ────────────────────────────────────────────────────────────────────────────────────────────────

-- Only the SHA-256 of a secret is kept. A refresh token that was obtained with another credential ends with that one (parent).
CREATE TABLE credential (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  subject_id INTEGER NOT NULL REFERENCES subject ON DELETE CASCADE,
  parent_id INTEGER REFERENCES credential ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('personal', 'robot', 'refresh', 'session', 'setPassword')),
  hash BLOB NOT NULL UNIQUE,
  label TEXT NOT NULL DEFAULT '',
  role INTEGER CHECK (role BETWEEN 1 AND 4),           -- ceiling; NULL: none
  patterns TEXT,                                       -- JSON array; NULL: every repository
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  last_used_at INTEGER,
  last_used_from TEXT
) STRICT;
CREATE INDEX credential_of_subject ON credential (subject_id, kind, id);
CREATE INDEX credential_by_parent ON credential (parent_id) WHERE parent_id IS NOT NULL;
-- Those that are of no more use once they have expired; a token is kept, so that its owner sees what became of it.
CREATE INDEX credential_by_expiry ON credential (expires_at) WHERE kind IN ('refresh', 'session', 'setPassword');
CREATE INDEX credential_unused ON credential (coalesce(last_used_at, created_at)) WHERE kind IN ('personal', 'robot');
CREATE INDEX credential_ending ON credential (expires_at) WHERE kind IN ('personal', 'robot');
CREATE UNIQUE INDEX credential_label ON credential (subject_id, label) WHERE kind IN ('personal', 'robot');

-- Private keys as JWK. retired_at: from then on it only verifies.
CREATE TABLE signing_key (
  kid TEXT PRIMARY KEY,
  jwk TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  retired_at INTEGER
) STRICT;

-- ── audit ────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- `object` is what a change of access was about ('user:alice', 'grant:acme/**'); `detail` holds {"before":…,"after":…} or counts.
ALTER TABLE event ADD COLUMN object TEXT;
ALTER TABLE event ADD COLUMN namespace TEXT;
ALTER TABLE event ADD COLUMN user_agent TEXT;
UPDATE event SET namespace = iif(instr(repository, '/') > 0, substr(repository, 1, instr(repository, '/') - 1), 'library')
  WHERE repository IS NOT NULL;
ALTER TABLE event ADD COLUMN outcome TEXT NOT NULL DEFAULT 'allowed' CHECK (outcome IN ('allowed', 'refused'));
CREATE INDEX event_by_namespace ON event (namespace, seq);
-- Changes of content are the many: they are found by repository, or by walking.
CREATE INDEX event_by_action ON event (kind, seq, repository) WHERE repository IS NULL;
CREATE INDEX event_by_object ON event (object, seq) WHERE object IS NOT NULL;
CREATE INDEX event_refused ON event (seq) WHERE outcome = 'refused';
CREATE INDEX event_by_time ON event (at);
