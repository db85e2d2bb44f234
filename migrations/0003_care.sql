-- Care of the store: what the collector, the scrub and the list of operations look up.

-- Newest first by kind or state; those that have not ended are few.
CREATE INDEX operation_by_kind ON operation (kind, id);
CREATE INDEX operation_by_state ON operation (state, id);
