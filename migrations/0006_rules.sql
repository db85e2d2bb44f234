-- Rules over tags: which are protected from whom, and which are kept for how long.

-- Each namespace has its rules; those of `system` hold in the whole registry. `repositories` is a pattern of full names, and **
-- everything in the namespace; `tags` is a glob.
CREATE TABLE protection_rule (
  namespace_id INTEGER NOT NULL REFERENCES namespace ON DELETE CASCADE,
  position INTEGER NOT NULL,
  repositories TEXT NOT NULL,
  tags TEXT NOT NULL,
  rule TEXT NOT NULL CHECK (rule IN ('immutable', 'create-only', 'no-delete')),
  exempts_administrators INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (namespace_id, position)
) STRICT, WITHOUT ROWID;

-- Whom a rule does not bind: users, robots, and teams with whoever is in them at the time.
CREATE TABLE protection_exempt (
  namespace_id INTEGER NOT NULL,
  position INTEGER NOT NULL,
  subject_id INTEGER NOT NULL REFERENCES subject ON DELETE CASCADE,
  PRIMARY KEY (namespace_id, position, subject_id),
  FOREIGN KEY (namespace_id, position) REFERENCES protection_rule ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX protection_exempt_by_subject ON protection_exempt (subject_id);

-- Counts changes of the rules: what was compiled of them is thrown away when it moves.
INSERT INTO instance (key, value) VALUES ('protection_generation', '0');

-- The retention rules of a namespace as its people wrote them, JSON.
CREATE TABLE retention_rules (
  namespace_id INTEGER PRIMARY KEY REFERENCES namespace ON DELETE CASCADE,
  rules TEXT NOT NULL
) STRICT;

-- When a manifest was pulled last, by uptime: what nobody pulled for long is told by both clocks. 0: not since this is noted.
ALTER TABLE pull_count ADD COLUMN last_ticks INTEGER NOT NULL DEFAULT 0;

-- Runs of retention by the namespace that they were for.
CREATE INDEX operation_of_namespace ON operation (json_extract(request, '$.namespace'), id) WHERE kind = 'retention';
