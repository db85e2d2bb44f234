-- Repositories as people manage them: what one says of itself, how it is used, what it takes, old names, and the deleted ones.

-- A README may be long: it has rows of its own, so that counting a pull does not write it again.
CREATE TABLE repository_page (
  repository_id INTEGER PRIMARY KEY REFERENCES repository ON DELETE CASCADE,
  readme TEXT NOT NULL DEFAULT '',
  links TEXT NOT NULL DEFAULT '[]'          -- JSON: [{"title","url"}]
) STRICT;
INSERT INTO repository_page (repository_id, readme, links)
  SELECT id, readme, links FROM repository WHERE readme <> '' OR links <> '[]';
ALTER TABLE repository DROP COLUMN readme;
ALTER TABLE repository DROP COLUMN links;

-- JSON: {"key":"value"}. The table repository_label is the index of it.
ALTER TABLE repository ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';

-- ── what a list shows, without counting it anew ──────────────────────────────────────────────────────────────────────

ALTER TABLE repository ADD COLUMN tags INTEGER NOT NULL DEFAULT 0;
-- Of the blobs that it links, each once; of those, the ones that no other repository links.
ALTER TABLE repository ADD COLUMN linked_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repository ADD COLUMN own_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repository ADD COLUMN pushes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repository ADD COLUMN pulls INTEGER NOT NULL DEFAULT 0;
-- 0: never.
ALTER TABLE repository ADD COLUMN last_pushed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repository ADD COLUMN last_pulled_at INTEGER NOT NULL DEFAULT 0;

-- Deleted: when and by whom; with its namespace: it comes back with that.
ALTER TABLE repository ADD COLUMN deleted_at INTEGER;
ALTER TABLE repository ADD COLUMN deleted_by TEXT;
ALTER TABLE repository ADD COLUMN deleted_with_namespace INTEGER NOT NULL DEFAULT 0;
-- A removed organization: restorable until then.
ALTER TABLE namespace ADD COLUMN restorable_until_ticks INTEGER;

UPDATE repository SET
  tags = (SELECT count(*) FROM tag t WHERE t.repository_id = repository.id),
  linked_bytes = (SELECT coalesce(sum(b.size), 0) FROM repository_blob l JOIN blob b ON b.id = l.blob_id
    WHERE l.repository_id = repository.id),
  own_bytes = (SELECT coalesce(sum(b.size), 0) FROM repository_blob l JOIN blob b ON b.id = l.blob_id
    WHERE l.repository_id = repository.id AND NOT EXISTS (SELECT 1 FROM repository_blob o
      WHERE o.blob_id = l.blob_id AND o.repository_id <> l.repository_id)),
  pushes = (SELECT count(*) FROM manifest m WHERE m.repository_id = repository.id),
  last_pushed_at = (SELECT coalesce(max(m.pushed_at), 0) FROM manifest m WHERE m.repository_id = repository.id),
  pulls = (SELECT coalesce(sum(c.pulls), 0) FROM manifest m JOIN pull_count c ON c.manifest_id = m.id
    WHERE m.repository_id = repository.id),
  last_pulled_at = (SELECT coalesce(max(c.last_at), 0) FROM manifest m JOIN pull_count c ON c.manifest_id = m.id
    WHERE m.repository_id = repository.id);

CREATE TRIGGER repository_tag_added AFTER INSERT ON tag BEGIN
  UPDATE repository SET tags = tags + 1 WHERE id = NEW.repository_id;
END;
CREATE TRIGGER repository_tag_dropped AFTER DELETE ON tag BEGIN
  UPDATE repository SET tags = tags - 1 WHERE id = OLD.repository_id;
END;

-- A blob in one other repository alone is that one's own no more; one that is left in a single repository becomes its own.
CREATE TRIGGER repository_link_added AFTER INSERT ON repository_blob BEGIN
  UPDATE repository SET own_bytes = own_bytes - coalesce((SELECT size FROM blob WHERE id = NEW.blob_id), 0)
    WHERE id = (SELECT repository_id FROM repository_blob
        WHERE blob_id = NEW.blob_id AND repository_id <> NEW.repository_id LIMIT 1)
      AND NOT EXISTS (SELECT 1 FROM repository_blob
        WHERE blob_id = NEW.blob_id AND repository_id <> NEW.repository_id LIMIT 1 OFFSET 1);
  UPDATE repository SET linked_bytes = linked_bytes + coalesce((SELECT size FROM blob WHERE id = NEW.blob_id), 0),
      own_bytes = own_bytes + iif(EXISTS (SELECT 1 FROM repository_blob
          WHERE blob_id = NEW.blob_id AND repository_id <> NEW.repository_id),
        0, coalesce((SELECT size FROM blob WHERE id = NEW.blob_id), 0))
    WHERE id = NEW.repository_id;
END;
CREATE TRIGGER repository_link_dropped AFTER DELETE ON repository_blob BEGIN
  UPDATE repository SET own_bytes = own_bytes + coalesce((SELECT size FROM blob WHERE id = OLD.blob_id), 0)
    WHERE id = (SELECT repository_id FROM repository_blob WHERE blob_id = OLD.blob_id LIMIT 1)
      AND NOT EXISTS (SELECT 1 FROM repository_blob WHERE blob_id = OLD.blob_id LIMIT 1 OFFSET 1);
  UPDATE repository SET linked_bytes = linked_bytes - coalesce((SELECT size FROM blob WHERE id = OLD.blob_id), 0),
      own_bytes = own_bytes - iif(EXISTS (SELECT 1 FROM repository_blob WHERE blob_id = OLD.blob_id),
        0, coalesce((SELECT size FROM blob WHERE id = OLD.blob_id), 0))
    WHERE id = OLD.repository_id;
END;
CREATE TRIGGER repository_blob_resized AFTER UPDATE OF size ON blob WHEN NEW.size <> OLD.size BEGIN
  UPDATE repository SET linked_bytes = linked_bytes + NEW.size - OLD.size,
      own_bytes = own_bytes + iif(EXISTS (SELECT 1 FROM repository_blob WHERE blob_id = NEW.id LIMIT 1 OFFSET 1),
        0, NEW.size - OLD.size)
    WHERE id IN (SELECT repository_id FROM repository_blob WHERE blob_id = NEW.id);
END;

-- ── finding them ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- `name` is the repository's: a label's repositories are walked in its order.
CREATE TABLE repository_label (
  repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (repository_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_label_by_value ON repository_label (key, value, name);

CREATE INDEX repository_by_visibility ON repository (visibility, name) WHERE state = 'live';
CREATE INDEX repository_by_push ON repository (last_pushed_at, id) WHERE state = 'live';
CREATE INDEX repository_by_pull ON repository (last_pulled_at, id) WHERE state = 'live';
CREATE INDEX repository_deleted ON repository (id) WHERE state = 'deleted';
-- Where does this digest live?
CREATE INDEX manifest_by_digest ON manifest (digest, repository_id);

-- ── old names ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- With an id by which one of them is removed.
DROP INDEX repository_alias_of;
DROP INDEX repository_alias_due;
ALTER TABLE repository_alias RENAME TO former_alias;
CREATE TABLE repository_alias (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  repository_id INTEGER NOT NULL REFERENCES repository ON DELETE CASCADE,
  until_ticks INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
INSERT INTO repository_alias (name, repository_id, until_ticks, created_at)
  SELECT name, repository_id, until_ticks, unixepoch() FROM former_alias;
DROP TABLE former_alias;
CREATE INDEX repository_alias_of ON repository_alias (repository_id, id);
CREATE INDEX repository_alias_due ON repository_alias (until_ticks);
