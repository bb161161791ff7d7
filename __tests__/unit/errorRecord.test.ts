import { DelayedError, RateLimitError, UnrecoverableError, WaitingChildrenError, WaitingError } from 'bullmq';
import fc from 'fast-check';
import { toError } from '../../src/errors';
import {
  errorDetails,
  errorRecordOf,
  type FailedJob,
  parseErrorRecord,
  storableError,
} from '../../src/errorLog/record';

/** Returns the hash of the job in Redis after a failure with this error. */
function failedWith(thrown: unknown): FailedJob {
  const { message, stack } = storableError(thrown);
  return {
    name: 'message',
    data: '{"number":7}',
    failedReason: message,
    stacktrace: JSON.stringify(['an earlier attempt', stack]),
    atm: '2',
    finishedOn: String(Date.parse('2024-02-29T12:00:00.123Z')),
    pb: 'host:1:abc',
    error: errorDetails(thrown),
  };
}

const recorded = (thrown: unknown) => errorRecordOf('42', failedWith(thrown)).error;
const NOTHING: FailedJob = {
  ...{ name: null, data: null, failedReason: null, stacktrace: null },
  ...{ atm: null, finishedOn: null, pb: null, error: null },
};

describe('the record of a failed job', () => {
  it('has exactly the documented shape', () => {
    const error = new RangeError('too far');
    const record = errorRecordOf('42', failedWith(error));
    expect(record).toEqual({
      id: '42',
      message: { number: 7 },
      error: { name: 'RangeError', message: 'too far', stack: error.stack },
      attempts: 2,
      failedAt: '2024-02-29T12:00:00.123Z',
      instance: 'host:1:abc',
    });
    expect(parseErrorRecord(JSON.stringify(record))).toEqual(record);
  });

  it('names the source of a message of a named source', () => {
    const record = errorRecordOf('42', { ...failedWith(new Error('no')), name: 'eu-west' });
    expect(record.source).toBe('eu-west');
    expect(parseErrorRecord(JSON.stringify(record))).toEqual(record);
  });

  it('is complete even if the job has missing or invalid fields', () => {
    const record = {
      id: '7',
      message: null,
      error: { name: 'Error', message: 'Error', stack: '' },
      attempts: 0,
      failedAt: '1970-01-01T00:00:00.000Z',
      instance: '',
    };
    expect(errorRecordOf('7', NOTHING)).toEqual(record);
    const nonsense = { data: '{', stacktrace: '{"a":1}', atm: 'x', finishedOn: '1e99', error: '[null]' };
    expect(errorRecordOf('7', { ...NOTHING, ...nonsense })).toEqual(record);
  });

  it('has a name if BullMQ itself failed the message', () => {
    const failedReason = 'job stalled more than allowable limit';
    const job = { ...failedWith(new Error('an earlier failure')), failedReason };
    expect(errorRecordOf('1', { ...job, stacktrace: '[]' }).error).toEqual({
      name: 'Error',
      message: failedReason,
      stack: '',
    });
    const stack = `UnrecoverableError: ${failedReason}\n    at Worker.moveStalledJobsToWait (worker.js:1:1)`;
    expect(errorRecordOf('1', { ...job, stacktrace: JSON.stringify([stack]) }).error).toEqual({
      name: 'UnrecoverableError',
      message: failedReason,
      stack,
    });
  });
});

describe('an error without a message gets one', () => {
  const refused = (code: string) => Object.assign(new Error(''), { code });
  const first = new Error('connect ECONNREFUSED ::1:1');

  it.each<[string, unknown, { name: string; message: string }]>([
    ['from its name', new RangeError(), { name: 'RangeError', message: 'RangeError' }],
    ['from its code', refused('ECONNREFUSED'), { name: 'Error', message: 'ECONNREFUSED' }],
    ['from its first error', new AggregateError([first]), { name: 'AggregateError', message: first.message }],
    ['if a text was thrown', '', { name: 'Error', message: 'Error' }],
    ['if nothing was thrown', undefined, { name: 'Error', message: 'a value of type undefined was thrown' }],
  ])('%s', (_, thrown, expected) => {
    expect(recorded(thrown)).toMatchObject(expected);
    expect(storableError(thrown).message).toBe(expected.message);
  });

  it('if another program stored the empty message', () => {
    const job = { ...NOTHING, finishedOn: '1', stacktrace: JSON.stringify([new TypeError().stack]) };
    expect(errorRecordOf('1', job).error).toMatchObject({ name: 'TypeError', message: 'TypeError' });
    expect(errorRecordOf('1', { ...job, failedReason: '' }).error.message).toBe('TypeError');
  });
});

describe('the causes of an error', () => {
  const refused = () =>
    Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' });

  it('are recorded, with their codes and stacks', () => {
    const cause = refused();
    const { cause: found } = recorded(new TypeError('fetch failed', { cause }));
    expect(found).toEqual({ name: 'Error', message: cause.message, stack: cause.stack, code: cause.code });
  });

  it('are recorded for each error of an AggregateError, and for values that are not errors', () => {
    const { errors, code } = recorded(
      Object.assign(new AggregateError([refused(), 'a text', { a: 1 }], 'all failed'), { code: 42 }),
    );
    expect(errors).toMatchObject([{ code: 'ECONNREFUSED' }, { message: 'a text' }, { message: '{"a":1}' }]);
    expect(code).toBe(42);
  });

  it('are bounded in depth and size, and end at a cycle', () => {
    let deep = new Error('x'.repeat(100_000));
    for (let level = 0; level < 1000; level++) deep = new Error('y'.repeat(100_000), { cause: deep });
    const wide = (): Error =>
      new AggregateError(
        Array.from({ length: 10_000 }, () => new Error('\0'.repeat(9999), { cause: deep })),
        'wide',
      );
    const circular = new Error('round');
    circular.cause = new Error('and round', { cause: circular });
    for (const error of [deep, wide(), new Error('', { cause: wide() }), circular]) {
      expect(errorDetails(error).length).toBeLessThan(200_000);
      expect(parseErrorRecord(JSON.stringify(errorRecordOf('1', failedWith(error))))).toBeDefined();
    }
    expect(recorded(circular).cause).toMatchObject({ message: 'and round' });
    expect(recorded(circular).cause!.cause).toBeUndefined();
  });

  it('are not taken from an earlier failure', () => {
    const earlier = { error: errorDetails(new Error('earlier', { cause: refused() })) };
    const job = { ...failedWith(new Error('now')), ...earlier };
    expect(errorRecordOf('1', job).error).not.toHaveProperty('cause');
  });

  it('are the same whether the error or its storable copy is described', () => {
    const error = new TypeError('fetch failed', { cause: refused() });
    const copy = storableError(error);
    expect(storableError(copy)).toBe(copy);
    expect(errorDetails(copy)).toBe(errorDetails(error));
    expect(copy.cause).toMatchObject({
      name: 'Error',
      message: error.cause instanceof Error && error.cause.message,
    });
  });
});

describe('an error that throws when its properties are read', () => {
  const hostile = new Proxy(new Error('never seen'), {
    get: () => {
      throw new Error('hands off');
    },
    getPrototypeOf: () => {
      throw new Error('hands off');
    },
  });
  const { proxy: revoked, revoke } = Proxy.revocable([], {});
  revoke();
  const withGetter = Object.defineProperty(new Error('x'), 'message', {
    get: () => {
      throw new Error('hands off');
    },
  });
  const bad = {
    toString: () => {
      throw new Error('hands off');
    },
  };

  it.each<[string, unknown]>([
    ['a proxy', hostile],
    ['a getter', withGetter],
    [
      'a message that is no text',
      Object.assign(new Error(), { message: bad, name: bad, stack: bad, code: bad }),
    ],
    ['a revoked proxy as its errors', Object.assign(new Error('x'), { errors: revoked, cause: revoked })],
    ['a hostile cause', new Error('x', { cause: hostile })],
    ['no prototype', Object.create(null)],
  ])('is recorded: %s', (_, thrown) => {
    expect(recorded(thrown).message).not.toBe('');
    expect(toError(thrown)).toBeDefined();
  });
});

describe('an invalid stored record', () => {
  const valid = errorRecordOf('42', failedWith(new Error('no')));

  it.each<[string, unknown]>([
    ['no object', 7],
    ['null', null],
    ['an empty object', {}],
    ['no error', { ...valid, error: null }],
    ['an error without a stack', { ...valid, error: { name: 'a', message: 'b' } }],
    ['attempts that are a text', { ...valid, attempts: '1' }],
  ])('is refused: %s', (_, value) => {
    expect(parseErrorRecord(JSON.stringify(value))).toBeUndefined();
  });

  it('is refused if it is not JSON', () => {
    expect(parseErrorRecord('{')).toBeUndefined();
  });

  it('loses an invalid cause and keeps the rest', () => {
    const stored = { ...valid, error: { ...valid.error, cause: 'x', errors: [1, { name: 'a' }], code: {} } };
    expect(parseErrorRecord(JSON.stringify(stored))).toEqual(valid);
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
    expect(recorded(error)).toMatchObject({ name, message: error.message || name });
  });
});

describe('the text of an error', () => {
  it('is kept unchanged, with its name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.constantFrom(Error, TypeError), (text, Type) => {
        fc.pre(text !== '' && text !== 'bullmq:rateLimitExceeded');
        expect(recorded(new Type(text))).toMatchObject({ name: Type.name, message: text });
      }),
    );
  });

  it('can have many lines, even lines that look like a stack', () => {
    const text = 'first\n    at the door (house.js:1:1)\n\n  second: third\n';
    const error = new TypeError(text);
    const { name, message, stack } = recorded(error);
    expect({ name, message }).toEqual({ name: 'TypeError', message: text });
    expect(stack).toBe(error.stack);
  });

  it('can be changed after the error was created; the frames stay', () => {
    const error = new Error('before');
    error.message = 'after, and longer than the whole stack is. '.repeat(100);
    const { message, stack } = recorded(error);
    expect(message).toBe(error.message);
    expect(stack).toBe(error.stack!.replace('before', error.message));
  });

  it('is recorded quickly, however long it is', () => {
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

describe('errors that BullMQ interprets as commands', () => {
  it.each([
    new DelayedError('later'),
    new WaitingError('back'),
    new WaitingChildrenError('children'),
    new UnrecoverableError('never again'),
  ])('%s loses its class and keeps its name', (order) => {
    const stored = storableError(order);
    expect(Object.getPrototypeOf(stored)).toBe(Error.prototype);
    expect(stored.name).toBe('Error');
    expect(recorded(order)).toMatchObject({ name: order.name, message: order.message });
    expect(order.name).not.toBe('Error');
  });

  it('bullmq:rateLimitExceeded is quoted, since BullMQ compares the message', () => {
    expect(storableError(new RateLimitError()).message).toBe('"bullmq:rateLimitExceeded"');
    expect(recorded(new RateLimitError())).toMatchObject({
      name: 'RateLimitError',
      message: '"bullmq:rateLimitExceeded"',
    });
  });
});

describe('a thrown value that is not an Error', () => {
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;

  it.each<[unknown, string]>([
    ['out of paper', 'out of paper'],
    ['', 'Error'],
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

  it('an Error is left unchanged', () => {
    const error = new TypeError('no');
    expect(toError(error)).toBe(error);
  });
});
