import { DelayedError, RateLimitError, UnrecoverableError, WaitingChildrenError, WaitingError } from 'bullmq';
import fc from 'fast-check';
import { toError } from '../../src/errors';
import { errorRecordOf, type FailedJob, storableError } from '../../src/errorLog/record';

/** The job as BullMQ gives it back after a failure with this error. */
function failedWith(thrown: unknown): FailedJob {
  const { message, stack } = storableError(toError(thrown));
  return {
    id: '42',
    data: { number: 7 },
    failedReason: message,
    stacktrace: ['an earlier attempt', stack!],
    attemptsMade: 2,
    finishedOn: Date.parse('2024-02-29T12:00:00.123Z'),
    processedBy: 'host:1:abc',
  };
}

const recorded = (thrown: unknown) => errorRecordOf(failedWith(thrown)).error;

describe('the record of a failed job', () => {
  it('has exactly the promised shape', () => {
    const error = new RangeError('too far');
    expect(errorRecordOf(failedWith(error))).toEqual({
      id: '42',
      message: { number: 7 },
      error: { name: 'RangeError', message: 'too far', stack: error.stack },
      attempts: 2,
      failedAt: '2024-02-29T12:00:00.123Z',
      instance: 'host:1:abc',
    });
  });

  it('is whole where BullMQ says nothing', () => {
    const job = { data: null, attemptsMade: 0 } as unknown as FailedJob;
    expect(errorRecordOf(job)).toEqual({
      id: '',
      message: null,
      error: { name: 'Error', message: '', stack: '' },
      attempts: 0,
      failedAt: '1970-01-01T00:00:00.000Z',
      instance: '',
    });
  });

  it('has a name for a message that BullMQ itself failed', () => {
    const failedReason = 'job stalled more than allowable limit';
    const job = { ...failedWith(new Error()), failedReason };
    expect(errorRecordOf({ ...job, stacktrace: [] }).error).toEqual({
      name: 'Error',
      message: failedReason,
      stack: '',
    });
    const stack = `UnrecoverableError: ${failedReason}\n    at Worker.moveStalledJobsToWait (worker.js:1:1)`;
    expect(errorRecordOf({ ...job, stacktrace: [stack] }).error).toEqual({
      name: 'UnrecoverableError',
      message: failedReason,
      stack,
    });
  });
});

describe('the name of an error', () => {
  class PaymentError extends Error {
    override name = 'PaymentError';
  }
  const renamed = Object.assign(new TypeError('no'), { name: 'RenamedError' });
  const named = (name: string) => Object.assign(new Error('no'), { name });

  it.each<[string, Error, string]>([
    ['a plain one', new Error('no'), 'Error'],
    ['a built-in one', new SyntaxError('no'), 'SyntaxError'],
    ['one with its name in the class', new PaymentError('no'), 'PaymentError'],
    ['one renamed after it was made', renamed, 'RenamedError'],
    ['one with an empty message', new RangeError(''), 'RangeError'],
    ['one with a space in its name', named('Payment Error'), 'Payment Error'],
    ['one with a colon in its name', named('pay:refused'), 'pay:refused'],
    ['one whose name is not ASCII', named('Größenfehler'), 'Größenfehler'],
    ['one with a dot and digits', named('aws.S3Error2'), 'aws.S3Error2'],
    ['one whose name is empty', named(''), 'Error'],
    ['one whose name has two lines', named('Two\nLines'), 'Error'],
  ])('is kept: %s', (_, error, name) => {
    expect(recorded(error)).toMatchObject({ name, message: error.message });
  });
});

describe('the text of an error', () => {
  it('is kept as it is, whatever it is, with its name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.constantFrom(Error, TypeError), (text, Type) => {
        fc.pre(text !== 'bullmq:rateLimitExceeded');
        expect(recorded(new Type(text))).toMatchObject({ name: Type.name, message: text });
      }),
    );
  });

  it('may have many lines, also ones that look like a stack', () => {
    const text = 'first\n    at the door (house.js:1:1)\n\n  second: third\n';
    const error = new TypeError(text);
    const { name, message, stack } = recorded(error);
    expect({ name, message }).toEqual({ name: 'TypeError', message: text });
    expect(stack).toBe(error.stack);
  });

  it('may have been changed after the error was made: the frames stay', () => {
    const error = new Error('before');
    error.message = 'after, and longer than the whole stack is. '.repeat(100);
    const { message, stack } = recorded(error);
    expect(message).toBe(error.message);
    expect(stack).toBe(error.stack!.replace('before', error.message));
  });

  it('is recorded at once, however long it is', () => {
    for (const long of ['x', '\n', ' ', '\n ', ': ']) {
      const startedAt = performance.now();
      recorded(new Error(long.repeat(500_000)));
      expect(performance.now() - startedAt).toBeLessThan(5000);
    }
  });
});

describe('an error without a stack', () => {
  it.each([undefined, '', 42, {}])('is recorded: %s', (stack) => {
    const error = Object.assign(new RangeError('no'), { stack });
    expect(recorded(error)).toEqual({ name: 'RangeError', message: 'no', stack: 'RangeError: no' });
  });
});

describe('errors that BullMQ takes for orders of its own', () => {
  it.each([
    new DelayedError('later'),
    new WaitingError('back'),
    new WaitingChildrenError('children'),
    new UnrecoverableError('never again'),
  ])('%s loses its class and keeps its name', (order) => {
    const stored = storableError(order);
    expect(Object.getPrototypeOf(stored)).toBe(Error.prototype);
    expect(stored.name).toBe('Error');
    expect(stored.cause).toBe(order);
    expect(recorded(order)).toMatchObject({ name: order.name, message: order.message });
    expect(order.name).not.toBe('Error');
  });

  it('bullmq:rateLimitExceeded is quoted, since BullMQ goes by the message', () => {
    expect(storableError(new RateLimitError()).message).toBe('"bullmq:rateLimitExceeded"');
    expect(recorded(new RateLimitError())).toMatchObject({
      name: 'RateLimitError',
      message: '"bullmq:rateLimitExceeded"',
    });
  });
});

describe('what was thrown and is no Error', () => {
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;

  it.each<[unknown, string]>([
    ['out of paper', 'out of paper'],
    ['', ''],
    [undefined, 'a value of type undefined was thrown'],
    [null, 'null'],
    [42, '42'],
    [{ code: 7 }, '{"code":7}'],
    [['a'], '["a"]'],
    [circular, 'a value of type object was thrown'],
    [10n, 'a value of type bigint was thrown'],
    [Symbol('s'), 'a value of type symbol was thrown'],
    [() => 1, 'a value of type function was thrown'],
  ])('%p is recorded as an Error that says so', (thrown, message) => {
    expect(recorded(thrown)).toMatchObject({ name: 'Error', message });
  });

  it('is kept as the cause', () => {
    const thrown = { code: 7 };
    expect(toError(thrown).cause).toBe(thrown);
  });

  it('an Error is left as it is', () => {
    const error = new TypeError('no');
    expect(toError(error)).toBe(error);
  });
});
