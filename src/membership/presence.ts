/*
 * Presence: who is alive.
 *
 * Each instance subscribes to a channel of its own. When a process dies, the kernel closes its sockets at once, and the
 * channel is left without a subscriber: the end of a process shows within a round trip, with no time-out to wait for.
 * A machine that vanishes closes nothing, and a process that is paused keeps its sockets: for such, the lease, the job
 * locks and the age of the last heartbeat remain.
 */
import type { Redis } from 'ioredis';
import type { Keys } from '../keys';
import type { Logger } from '../logger';

export interface PresenceOptions {
  readonly control: Redis;
  /** A connection of the role `subscriber`. */
  readonly subscriber: Redis;
  readonly keys: Keys;
  readonly instance: string;
  /** Another instance has been elected. */
  readonly onElected: () => void;
  /** Another instance has stepped down: nobody leads. */
  readonly onSteppedDown: () => void;
  readonly logger: Logger;
}

export class Presence {
  readonly #options: PresenceOptions;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** Resolves once this instance can be seen to be alive. */
  async start(): Promise<void> {
    const { control, subscriber, keys, instance, logger } = this.#options;
    const own = keys.presence(instance);
    if ((await presentAmong(control, keys, [instance])).has(instance)) {
      logger.warn('another living instance has this name: INSTANCE_NAME must be unique');
    }
    subscriber.on('message', (channel: string, text: string) => {
      if (channel !== keys.leadership) return;
      const [event, who] = text.split(' ', 2);
      if (who === instance) return;
      if (event === 'elected') this.#options.onElected();
      if (event === 'left') this.#options.onSteppedDown();
    });
    await subscriber.subscribe(own, keys.leadership);
  }

  /** Tells the others what has become of this instance's leadership. */
  async announce(event: 'elected' | 'left'): Promise<void> {
    const { control, keys, instance } = this.#options;
    await control.publish(keys.leadership, `${event} ${instance}`);
  }
}

/** Those of the instances whose processes are connected now. */
export async function presentAmong(
  client: Redis,
  keys: Pick<Keys, 'presence'>,
  instances: readonly string[],
): Promise<Set<string>> {
  if (instances.length === 0) return new Set();
  const channels = instances.map((instance) => keys.presence(instance));
  const reply = (await client.pubsub('NUMSUB', ...channels)) as (string | number)[];
  return new Set(instances.filter((_, index) => Number(reply[index * 2 + 1]) > 0));
}
