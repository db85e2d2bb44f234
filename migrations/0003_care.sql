-- Care of the store: what the collector, the scrub, quotas and the list of operations look up.

-- Blobs that lost a link or a deleted manifest and may be named by nothing any more. The collector looks at each once, so that
-- a collection costs what there is to collect and not what there is. Rows for blobs that are needed after all do no harm.
CREATE TABLE blob_review (
  blob_id INTEGER PRIMARY KEY
) STRICT;
INSERT INTO blob_review (blob_id) SELECT id FROM blob b
  WHERE NOT EXISTS (SELECT 1 FROM repository_blob l WHERE l.blob_id = b.id)
  AND NOT EXISTS (SELECT 1 FROM trash_blob e WHERE e.blob_id = b.id);
CREATE TRIGGER link_dropped AFTER DELETE ON repository_blob BEGIN
  INSERT INTO blob_review (blob_id) VALUES (OLD.blob_id) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER trash_edge_dropped AFTER DELETE ON trash_blob BEGIN
  INSERT INTO blob_review (blob_id) VALUES (OLD.blob_id) ON CONFLICT DO NOTHING;
END;

-- How far tag_history had come at an uptime: its rows are dated for people, and their age is told by this.
CREATE TABLE history_mark (
  ticks INTEGER PRIMARY KEY,
  newest_id INTEGER NOT NULL
) STRICT;

CREATE INDEX repository_alias_due ON repository_alias (until_ticks);
CREATE INDEX blob_damaged ON blob (id) WHERE damaged_at IS NOT NULL;
-- The background scrub takes what was checked longest ago.
CREATE INDEX blob_by_check ON blob (verified_at, id) WHERE damaged_at IS NULL;

-- Newest first by kind or state.
CREATE INDEX operation_by_kind ON operation (kind, id);
CREATE INDEX operation_by_state ON operation (state, id);

-- Deleted repositories in the order in which their time is over.
CREATE INDEX repository_due ON repository (until_ticks) WHERE state = 'deleted';
