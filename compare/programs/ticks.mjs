// examples/cron.mjs, with a handler that records the times it receives.
import { Redis } from 'ioredis';

export { generate } from '../../examples/cron.mjs';

const ledger = new Redis(process.env.LEDGER_URL);

export const handle = ({ scheduledFor }) => ledger.rpush('ticks', Date.parse(scheduledFor));
