// Checks that every failure of the million was recorded completely and once.

/** Returns the number of error records. @throws if one is missing, wrong or incomplete */
export async function checkErrors({ client }, total) {
  const found = new Set();
  let cursor = '0';
  do {
    const [next, entries] = await client.hscan('{nic}:errors', cursor, 'COUNT', 1000);
    cursor = next;
    for (let index = 0; index < entries.length; index += 2) {
      found.add(numberOf(entries[index], JSON.parse(entries[index + 1])));
    }
  } while (cursor !== '0');
  const expected = Math.floor(total / 100);
  if (found.size !== expected) throw new Error(`${found.size} errors are recorded, expected ${expected}`);
  return found.size;
}

function numberOf(id, { message, error, attempts, failedAt, instance, ...record }) {
  const { number } = message;
  const whole =
    record.id === id &&
    number % 100 === 0 &&
    error.name === 'Error' &&
    error.message === `number ${number} fails` &&
    error.stack.includes('millionTask.mjs') &&
    attempts === 1 &&
    !Number.isNaN(Date.parse(failedAt)) &&
    /^i\d+$/.test(instance);
  if (!whole) throw new Error(`the error record of message ${id} is wrong: ${JSON.stringify(message)}`);
  return number;
}
