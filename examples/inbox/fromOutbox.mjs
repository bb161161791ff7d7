// From table to table, exactly once: each row of "outbox" (see ../outbox) becomes a row of "received".
//
//   DATABASE_URL=postgres://... INBOX_DATABASE_URL=postgres://... TASK=examples/inbox/fromOutbox.mjs npm start
//
// The two tables can be in different databases. Without INBOX_DATABASE_URL both are in the one of DATABASE_URL.
export { generate, sources } from '../outbox/task.mjs';
export { handle } from './task.mjs';
