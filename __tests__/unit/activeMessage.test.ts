import { ActiveMessage } from '../../src/handling/activeMessage';
import { ActiveMessages } from '../../src/handling/activeMessages';
import { silentLogger } from '../helpers/silentLogger';

const message = (id = '7', token = 'token') => new ActiveMessage(id, 1, token, silentLogger);

describe('the signal of a message', () => {
  it('aborts with the reason, whether it is first read before or after the abort', () => {
    const [early, late] = [message(), message()];
    const { signal } = early.context;
    expect(signal.aborted).toBe(false);
    early.abort('its lock was lost');
    late.abort('its lock was lost');
    for (const { aborted, reason } of [signal, late.context.signal]) {
      expect(aborted).toBe(true);
      expect(reason).toMatchObject({ name: 'AbortError', message: 'its lock was lost' });
    }
    expect(early.isAborted).toBe(true);
  });

  it('keeps the first reason', () => {
    const one = message();
    one.abort('its lock was lost');
    one.abort('the instance is shutting down');
    expect(one.context.signal.reason).toMatchObject({ message: 'its lock was lost' });
  });

  it('is the same each time, like the logger', () => {
    const { id, attempt, signal, logger } = message().context;
    expect({ id, attempt }).toEqual({ id: '7', attempt: 1 });
    const { context } = message();
    expect(context.signal).toBe(context.signal);
    expect(context.logger).toBe(context.logger);
    expect(signal).toBeInstanceOf(AbortSignal);
    expect(logger).toBeDefined();
  });
});

describe('the active messages', () => {
  it('keep a second delivery of a message when the first one ends', () => {
    const active = new ActiveMessages();
    active.add(message('7', 'first'));
    active.add(message('7', 'second'));
    active.remove('7', 'first');
    expect(active.has('7')).toBe(true);
    active.remove('7', 'second');
    expect(active.size).toBe(0);
  });

  it('are slow after a minute, or after ten times the median of the last durations', () => {
    const active = new ActiveMessages();
    expect(active.slowAfterMs).toBe(60_000);
    for (let count = 0; count < 300; count++) active.noteDuration(count < 200 ? 1 : 9000);
    expect(active.slowAfterMs).toBe(90_000);

    const now = jest.spyOn(performance, 'now');
    now.mockReturnValue(1000);
    active.add(message('1'));
    now.mockReturnValue(50_000);
    active.add(message('2'));
    now.mockReturnValue(91_001);
    expect(active.slow().map(({ id }) => id)).toEqual(['1']);
    expect(active.oldestMs).toBe(90_001);
    now.mockRestore();
  });
});
