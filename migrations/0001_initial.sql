-- The first tables of Berth: names, content, history and care. SQLite >= 3.51.3, WAL, synchronous = FULL, foreign keys on,
-- one writer. Every table is STRICT.
--
-- Two kinds of time. `..._at` is Unix seconds and is for people. `..._ticks` is seconds of the registry's own uptime
-- (uptime_clock) and is the only clock that expires content: neither a clock jump nor a long stop can expire anything.

-- ── the instance ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- Facts about this database as a whole: `id` equals the content of the marker file beside the database.
CREATE TABLE instance (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE uptime_clock (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  ticks INTEGER NOT NULL
) STRICT;
INSERT INTO uptime_clock (one, ticks) VALUES (1, 0);

-- Row counts for metrics and limits, kept by the triggers below: counting a million blobs would stall whoever counts.
CREATE TABLE total (
  kind TEXT PRIMARY KEY CHECK (kind IN ('manifest', 'tag', 'blob', 'upload')),
  items INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO total (kind) VALUES ('manifest'), ('tag'), ('blob'), ('upload');

-- ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- The first component of repository names. NULL in a setting means: the registry's default.
CREATE TABLE namespace (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('user', 'organization', 'proxy', 'unowned')),
  default_visibility TEXT CHECK (default_visibility IN ('private', 'internal', 'public')),
  description TEXT NOT NULL DEFAULT '',
  quota_repositories INTEGER,
  quota_bytes INTEGER,
  used_bytes INTEGER NOT NULL DEFAULT 0,    -- of the blobs in namespace_blob, each counted once
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE repository (
  id INTEGER PRIMARY KEY,
  namespace_id INTEGER NOT NULL REFERENCES namespace,
  name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('uploading', 'live', 'deleted')),    -- uploading: blobs and sessions alone
  until_ticks INTEGER,                                                      -- deleted: restorable until then
  visibility TEXT NOT NULL DEFAULT 'private' CHECK (visibility IN ('private', 'internal', 'public')),
  manifests INTEGER NOT NULL DEFAULT 0 CHECK (manifests >= 0),
  description TEXT NOT NULL DEFAULT '',
  readme TEXT NOT NULL DEFAULT '',
  links TEXT NOT NULL DEFAULT '[]',
  created_at INTEGER NOT NULL
) STRICT;
-- A deleted repository may share its name with its successor.
CREATE UNIQUE INDEX repository_name ON repository (name) WHERE state <> 'deleted';
CREATE INDEX repository_in_namespace ON repository (namespace_id, name);
-- Exactly what the catalog shows, in its order.
CREATE INDEX repository_in_catalog ON repository (name) WHERE state = 'live' AND manifests > 0;
-- The few that may turn out to be empty and go away.
CREATE INDEX repository_uploading ON repository (id) WHERE state = 'uploading';

-- Old names of moved repositories.
CREATE TABLE repository_alias (
  name TEXT PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
  until_ticks INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_alias_of ON repository_alias (repository_id);

-- ── content ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Content by digest, once for all repositories. A location is never used twice.
CREATE TABLE blob (
  id INTEGER PRIMARY KEY,
  digest TEXT NOT NULL UNIQUE,
  location TEXT NOT NULL UNIQUE,
  size INTEGER NOT NULL,
  damaged_at INTEGER,                       -- not NULL: unknown to everybody until the content is pushed again
  verified_at INTEGER NOT NULL              -- last time the bytes were seen to hash to the digest
) STRICT;

-- Visibility: a repository has a blob because it is linked here. lease_ticks is NULL exactly while a manifest of the
-- repository references the blob; removing the last such edge sets it. So it is both the promise to clients that were
-- told the blob exists, and the queue of links that may be taken back one day.
CREATE TABLE repository_blob (
  repository_id INTEGER NOT NULL REFERENCES repository,
  blob_id INTEGER NOT NULL REFERENCES blob,
  lease_ticks INTEGER,
  PRIMARY KEY (repository_id, blob_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_blob_by_blob ON repository_blob (blob_id);
CREATE INDEX repository_blob_review ON repository_blob (lease_ticks) WHERE lease_ticks IS NOT NULL;

-- Unique bytes of a namespace: how many of its repositories link a blob.
CREATE TABLE namespace_blob (
  namespace_id INTEGER NOT NULL REFERENCES namespace,
  blob_id INTEGER NOT NULL REFERENCES blob,
  links INTEGER NOT NULL CHECK (links > 0),
  PRIMARY KEY (namespace_id, blob_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX namespace_blob_by_blob ON namespace_blob (blob_id);

-- `bytes` stays the last column: the others are read without touching its overflow pages.
CREATE TABLE manifest (
  id INTEGER PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repository,
  digest TEXT NOT NULL,
  media_type TEXT NOT NULL,
  subject TEXT,                             -- a digest, whether or not such a manifest exists
  artifact_type TEXT,
  image_bytes INTEGER NOT NULL,             -- config and layers, as the descriptors tell
  pushed_at INTEGER NOT NULL,
  pushed_by TEXT NOT NULL,
  lease_ticks INTEGER NOT NULL,             -- untagged or not, no rule removes it before
  bytes BLOB NOT NULL,
  UNIQUE (repository_id, digest)
) STRICT;
-- Referrers in order of arrival; the filter on artifact_type is answered from the index.
CREATE INDEX manifest_by_subject ON manifest (repository_id, subject, id, artifact_type) WHERE subject IS NOT NULL;

-- Edges. They hold what they point at: a link or a child cannot go while one exists.
CREATE TABLE manifest_blob (
  manifest_id INTEGER NOT NULL REFERENCES manifest,
  blob_id INTEGER NOT NULL,
  repository_id INTEGER NOT NULL,
  PRIMARY KEY (manifest_id, blob_id),
  FOREIGN KEY (repository_id, blob_id) REFERENCES repository_blob
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_blob_by_blob ON manifest_blob (repository_id, blob_id);

CREATE TABLE manifest_child (
  parent_id INTEGER NOT NULL REFERENCES manifest,
  child_id INTEGER NOT NULL REFERENCES manifest,
  PRIMARY KEY (parent_id, child_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_child_by_child ON manifest_child (child_id);

-- Sparse manifests: references that were absent. The arrival of the content turns a row into an edge. A child of an index
-- may arrive as a manifest or as a blob, anything else only as a blob.
CREATE TABLE missing_reference (
  repository_id INTEGER NOT NULL,
  digest TEXT NOT NULL,
  manifest_id INTEGER NOT NULL REFERENCES manifest ON DELETE CASCADE,
  expected TEXT NOT NULL CHECK (expected IN ('blob', 'child')),
  PRIMARY KEY (repository_id, digest, manifest_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX missing_reference_by_manifest ON missing_reference (manifest_id);

CREATE TABLE tag (
  repository_id INTEGER NOT NULL REFERENCES repository,
  name TEXT NOT NULL,
  manifest_id INTEGER NOT NULL REFERENCES manifest,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (repository_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_by_manifest ON tag (manifest_id);

-- Open upload sessions; a session that ended has no row. `store_state` belongs to the blob store.
CREATE TABLE upload (
  id TEXT PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repository,
  principal TEXT NOT NULL,
  store_state TEXT NOT NULL,
  created_ticks INTEGER NOT NULL,
  touched_ticks INTEGER NOT NULL
) STRICT;
CREATE INDEX upload_by_repository ON upload (repository_id, touched_ticks);
CREATE INDEX upload_by_principal ON upload (principal, touched_ticks);
CREATE INDEX upload_by_use ON upload (touched_ticks);
CREATE INDEX upload_by_start ON upload (created_ticks);

-- Locations that no row of `blob` names any more.
CREATE TABLE unlink_queue (
  location TEXT PRIMARY KEY,
  not_before_ticks INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX unlink_due ON unlink_queue (not_before_ticks);

-- ── history ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- digest NULL: the tag was removed.
CREATE TABLE tag_history (
  id INTEGER PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
  name TEXT NOT NULL,
  digest TEXT,
  action TEXT NOT NULL,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL
) STRICT;
CREATE INDEX tag_history_by_tag ON tag_history (repository_id, name, id);

-- Written in the transaction of the change that they tell of: the audit log and the source of webhooks.
-- AUTOINCREMENT: a cursor stays valid even after every row has been dropped for its age.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  actor TEXT NOT NULL,
  repository TEXT,
  reference TEXT,
  digest TEXT,
  address TEXT,
  request_id TEXT,
  detail TEXT
) STRICT;
CREATE INDEX event_by_repository ON event (repository, seq);
CREATE INDEX event_by_actor ON event (actor, seq);

CREATE TABLE pull_count (
  manifest_id INTEGER PRIMARY KEY REFERENCES manifest ON DELETE CASCADE,
  pulls INTEGER NOT NULL,
  last_at INTEGER NOT NULL
) STRICT;

-- ── care ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Deleted manifests: bytes kept and restorable, visible to nobody. tags and children are JSON arrays (names, digests).
CREATE TABLE trash (
  id INTEGER PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repository,
  digest TEXT NOT NULL,
  media_type TEXT NOT NULL,
  subject TEXT,
  tags TEXT NOT NULL,
  children TEXT NOT NULL,
  pushed_at INTEGER NOT NULL,
  pushed_by TEXT NOT NULL,
  deleted_at INTEGER NOT NULL,
  deleted_by TEXT NOT NULL,
  until_ticks INTEGER NOT NULL,
  bytes BLOB NOT NULL
) STRICT;
CREATE INDEX trash_in_repository ON trash (repository_id, digest);
CREATE INDEX trash_due ON trash (until_ticks);

-- Keeps the bytes of a deleted manifest's blobs; gives no visibility.
CREATE TABLE trash_blob (
  trash_id INTEGER NOT NULL REFERENCES trash ON DELETE CASCADE,
  blob_id INTEGER NOT NULL REFERENCES blob,
  PRIMARY KEY (trash_id, blob_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX trash_blob_by_blob ON trash_blob (blob_id);

-- Runs of the collector, scrub, backup and retention.
CREATE TABLE operation (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  actor TEXT NOT NULL,
  request TEXT NOT NULL,
  done INTEGER,
  total INTEGER,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  report TEXT
) STRICT;

-- ── the triggers of `total` ──────────────────────────────────────────────────────────────────────────────────────────

CREATE TRIGGER manifest_added AFTER INSERT ON manifest BEGIN
  UPDATE total SET items = items + 1, bytes = bytes + length(NEW.bytes) WHERE kind = 'manifest';
END;
CREATE TRIGGER manifest_dropped AFTER DELETE ON manifest BEGIN
  UPDATE total SET items = items - 1, bytes = bytes - length(OLD.bytes) WHERE kind = 'manifest';
END;
CREATE TRIGGER tag_added AFTER INSERT ON tag BEGIN
  UPDATE total SET items = items + 1 WHERE kind = 'tag';
END;
CREATE TRIGGER tag_dropped AFTER DELETE ON tag BEGIN
  UPDATE total SET items = items - 1 WHERE kind = 'tag';
END;
CREATE TRIGGER blob_added AFTER INSERT ON blob BEGIN
  UPDATE total SET items = items + 1, bytes = bytes + NEW.size WHERE kind = 'blob';
END;
CREATE TRIGGER blob_dropped AFTER DELETE ON blob BEGIN
  UPDATE total SET items = items - 1, bytes = bytes - OLD.size WHERE kind = 'blob';
END;
CREATE TRIGGER blob_resized AFTER UPDATE OF size ON blob WHEN NEW.size <> OLD.size BEGIN
  UPDATE total SET bytes = bytes + NEW.size - OLD.size WHERE kind = 'blob';
END;
CREATE TRIGGER upload_added AFTER INSERT ON upload BEGIN
  UPDATE total SET items = items + 1 WHERE kind = 'upload';
END;
CREATE TRIGGER upload_dropped AFTER DELETE ON upload BEGIN
  UPDATE total SET items = items - 1 WHERE kind = 'upload';
END;
