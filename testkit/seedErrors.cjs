// Writes error records as an instance does, without failures. CommonJS, so that the tests can load it.

/**
 * Writes records 1 to `count`, whose jobs are in BullMQ's failed set or, with `orphans`, deleted.
 *
 * @param {import('ioredis').Redis} client
 * @param {number} count
 * @param {{ orphans?: boolean }} [options]
 */
async function seedErrors(client, count, { orphans = false } = {}) {
  const stack = `Error: no\n${'    at handle (/app/tasks/feed.js:12:34)\n'.repeat(6)}`;
  for (let from = 1; from <= count; from += 5000) {
    const ids = Array.from({ length: Math.min(5000, count - from + 1) }, (_, index) => from + index);
    const records = ids.flatMap((id) => [
      String(id),
      JSON.stringify({
        id: String(id),
        message: { number: id },
        error: { name: 'Error', message: 'no', stack },
        attempts: 1,
        failedAt: new Date(1_700_000_000_000 + id).toISOString(),
        instance: 'a',
      }),
    ]);
    await client.hset('{nic}:errors', ...records);
    if (orphans) continue;
    await client.zadd('{nic}:messages:failed', ...ids.flatMap((id) => [1_700_000_000_000 + id, String(id)]));
  }
}

module.exports = { seedErrors };
