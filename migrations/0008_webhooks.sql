-- Webhooks: who is told of which events, how far that has come, and what became of each delivery.

-- event_seq: every event up to here was sent, or has a row in webhook_delivery that says when it is tried again. paused_until is
-- set while the endpoint cannot be reached: then nothing is sent there, and nothing is lost, since the events are rows. A hook
-- that was removed stays until its deliveries are gone, so that no transaction has to drop a million of them.
CREATE TABLE webhook (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  namespace_id INTEGER NOT NULL REFERENCES namespace ON DELETE CASCADE,
  url TEXT NOT NULL,
  events TEXT NOT NULL,
  repositories TEXT NOT NULL,
  format TEXT NOT NULL CHECK (format IN ('distribution', 'cloudevents')),
  secret TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  event_seq INTEGER NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0,
  failing_since INTEGER,
  paused_until INTEGER,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  removed_at INTEGER
) STRICT;
CREATE INDEX webhook_by_namespace ON webhook (namespace_id, id);
CREATE INDEX webhook_enabled ON webhook (id) WHERE enabled = 1 AND removed_at IS NULL;
CREATE INDEX webhook_failing ON webhook (failing_since) WHERE failing_since IS NOT NULL AND removed_at IS NULL;
CREATE INDEX webhook_removed ON webhook (id) WHERE removed_at IS NOT NULL;

-- A row for each event that was sent to a hook: the log for people, and what is still to be tried again (next_at).
CREATE TABLE webhook_delivery (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  webhook_id INTEGER NOT NULL REFERENCES webhook ON DELETE CASCADE,
  event_seq INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
  attempts INTEGER NOT NULL,
  next_at INTEGER,
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  status INTEGER,
  milliseconds INTEGER NOT NULL,
  error TEXT,
  answer TEXT
) STRICT;
CREATE UNIQUE INDEX webhook_delivery_of_event ON webhook_delivery (webhook_id, event_seq);
CREATE INDEX webhook_delivery_in_order ON webhook_delivery (webhook_id, id);
CREATE INDEX webhook_delivery_pending ON webhook_delivery (webhook_id, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_delivery_old ON webhook_delivery (last_at) WHERE next_at IS NULL;
