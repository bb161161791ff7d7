import type { Batch } from '../tasks/task';

/** An encoded batch: each message and the cursor as JSON. */
export interface EncodedBatch {
  readonly messages: readonly string[];
  readonly cursorJson: string;
  /** Length of all messages, in characters. */
  readonly chars: number;
}

export interface BatchLimits {
  readonly messages: number;
  readonly chars: number;
}

/**
 * The maximum size of a batch. A batch is one transaction, and Redis cannot renew a lease while it executes one: a
 * batch that takes longer than the lease can never be committed. Redis adds 30,000 to 50,000 messages a second, so a
 * batch within these limits takes about a third of the lease.
 *
 * @param leaseTtlMs LEASE_TTL_MS, in milliseconds. The default, 5000, allows 50,000 messages and 64 million characters.
 */
export function batchLimits(leaseTtlMs: number): BatchLimits {
  const share = Math.min(leaseTtlMs / 5000, 1);
  return { messages: Math.floor(50_000 * share), chars: Math.floor(64_000_000 * share) };
}

/**
 * Validates what `generate` yielded and encodes it as JSON.
 *
 * @throws TypeError or RangeError that states what was found and what was expected
 */
export function encodeBatch(value: unknown, limits: BatchLimits): EncodedBatch {
  const { messages, cursor } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Batch>;
  if (!Array.isArray(messages)) {
    throw new TypeError(`generate yielded ${describe(value)}, expected { messages: [...], cursor }`);
  }
  if (messages.length > limits.messages) throw tooLarge(`${messages.length} messages`, limits);
  let chars = 0;
  const encoded = Array.from(messages, (message: unknown, index) => {
    const json = jsonOf(`message ${index} of a batch`, message);
    chars += json.length;
    if (chars > limits.chars) throw tooLarge(`more than ${limits.chars} characters of JSON`, limits);
    return json;
  });
  return { messages: encoded, cursorJson: jsonOf('the cursor of a batch', cursor), chars };
}

export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return `an object with ${Object.keys(value).join(', ') || 'nothing in it'}`;
  return `a value of type ${typeof value}`;
}

/** undefined, functions and symbols have no JSON form. */
function jsonOf(what: string, value: unknown): string {
  const json = JSON.stringify(value) as string | undefined;
  if (json !== undefined) return json;
  throw new TypeError(`${what} is ${describe(value)}, expected a JSON value`);
}

function tooLarge(found: string, { messages, chars }: BatchLimits): RangeError {
  return new RangeError(
    `a batch has ${found}, expected at most ${messages} messages and ${chars} characters of JSON: ` +
      `it could not be committed within the lease (LEASE_TTL_MS); yield smaller batches`,
  );
}
