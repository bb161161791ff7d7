-- Needs PostgreSQL 9.6 or newer. README.md explains how task.mjs uses it.

-- Which messages have been handled, and which handler is the newest.
CREATE TABLE inbox (
  -- What the message is about, the same however often it is generated.
  key text PRIMARY KEY,
  -- The queue's id of the message, and the highest attempt that has begun to handle it.
  message_id text NOT NULL,
  attempt bigint NOT NULL,
  -- When its effect was committed; null before that.
  handled_at timestamptz
);

-- The effect. Your own tables take its place. Nothing here keeps a row from being there twice: the inbox does that.
CREATE TABLE received (
  outbox_id bigint NOT NULL,
  topic text NOT NULL,
  payload jsonb NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now()
);
