import { MessageInHand } from '../../src/handling/activeMessage';
import { silentLogger } from '../helpers/silentLogger';

describe('the signal of a message', () => {
  const message = () => new MessageInHand('7', 1, silentLogger);

  it('aborts with the reason, whether it was asked for before or only then', () => {
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

  it('is the same each time, and is there in a copy of the context', () => {
    const { context } = message();
    const copy = { ...context };
    expect(copy.signal).toBe(context.signal);
    expect(copy).toMatchObject({ id: '7', attempt: 1 });
    expect(copy.logger).toBeDefined();
  });
});
