import { EventEmitter } from 'node:events';
import { toError } from '../errors';
import { inFull, type Logger } from '../logging/logger';
import type { InstanceEvents } from './shapes';
import { sleep } from '../time';

export type Listener<Name extends keyof InstanceEvents> = (event: InstanceEvents[Name]) => unknown;

/** Notifies the host's listeners. If one throws or rejects, nothing else is affected. */
export class HostEvents {
  readonly #emitter = new EventEmitter();
  /** The logger for failures of listeners; undefined before the start. */
  logger: Pick<Logger, 'error'> | undefined;

  on<Name extends keyof InstanceEvents>(name: Name, listener: Listener<Name>): void {
    this.#emitter.on(name, listener);
  }

  once<Name extends keyof InstanceEvents>(name: Name, listener: Listener<Name>): void {
    this.#emitter.once(name, listener);
  }

  off<Name extends keyof InstanceEvents>(name: Name, listener: Listener<Name>): void {
    this.#emitter.off(name, listener);
  }

  hasListeners(...names: (keyof InstanceEvents)[]): boolean {
    return names.some((name) => this.#emitter.listenerCount(name) > 0);
  }

  emit<Name extends keyof InstanceEvents>(name: Name, event: InstanceEvents[Name]): void {
    const failed = (thrown: unknown) =>
      this.logger?.error(`a listener of the event ${name} failed`, { error: inFull(toError(thrown)) });
    // Call them one by one: emit() of Node.js stops at the first that throws. Listeners of once() remove themselves
    // when called.
    for (const listener of this.#emitter.rawListeners(name)) {
      try {
        const returned: unknown = Reflect.apply(listener, undefined, [event]);
        if (returned instanceof Promise) returned.catch(failed);
      } catch (thrown) {
        failed(thrown);
      }
    }
  }
}

const POLL_INTERVAL_MS = 1000;

/** Emits `ready` and `unready` until the instance stops. Sends no commands to Redis while there is no listener. */
export async function watchReadiness(
  events: Pick<HostEvents, 'emit' | 'hasListeners'>,
  readiness: () => Promise<InstanceEvents['ready']>,
  stopped: AbortSignal,
): Promise<void> {
  let wasReady = false;
  const look = async () => {
    if (!events.hasListeners('ready', 'unready')) return;
    const found = await readiness();
    if (found.ready === wasReady) return;
    wasReady = found.ready;
    events.emit(found.ready ? 'ready' : 'unready', found);
  };
  while (!stopped.aborted) {
    await look();
    await sleep(POLL_INTERVAL_MS, stopped);
  }
  await look();
}
