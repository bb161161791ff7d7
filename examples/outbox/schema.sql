-- Needs PostgreSQL 13 or newer. Write to it in the transaction whose effect it tells of:
--
--   INSERT INTO outbox (topic, payload) VALUES ('order.paid', '{"order": 42}');
--
-- and to none of the other columns. README.md explains what they are for.

CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- The transaction that wrote the row: its own number, in 64 bits, also inside of a savepoint.
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  topic text NOT NULL,
  payload jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- The order in which rows are published.
CREATE INDEX outbox_in_order ON outbox (xid, id);

-- Tells whoever listens that there is something to read, when the transaction commits. Nothing depends on it but how
-- soon a row is seen.
CREATE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('outbox', '');
  RETURN NULL;
END
$$;

CREATE TRIGGER outbox_notify AFTER INSERT ON outbox
  FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify();
