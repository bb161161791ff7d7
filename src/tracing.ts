import { createRequire } from 'node:module';
import type { Telemetry } from 'bullmq';
import type * as Otel from 'bullmq-otel';
import type { ErrorDetails } from './errorLog/details';
import { AppError, toError } from './errors';
import type { Logger } from './logging/logger';
import { withDeadline } from './time';

/** Traces through the OpenTelemetry SDK that the host has registered in this process. */
export interface Traces {
  /** For BullMQ's queues and workers. */
  readonly telemetry: Telemetry;
  /**
   * Runs `start` outside of any span; otherwise everything that it starts would be part of that span as long as it
   * runs.
   */
  detached<T>(start: () => T): T;
  /** Adds an exception with its causes to the active span. */
  recordException(error: ErrorDetails): void;
  /** Sends what the SDK has collected, within a time limit. Never rejects. */
  flush(): Promise<void>;
}

/** The part of OpenTelemetry's API that is used. bullmq-otel brings that package along. */
interface Api {
  readonly ROOT_CONTEXT: unknown;
  readonly context: { with<T>(context: unknown, run: () => T): T };
  readonly trace: {
    getTracerProvider(): Provider;
    getActiveSpan(): { recordException(exception: object): void } | undefined;
  };
}

interface Provider {
  /** On the API's proxy: the provider that has been registered. */
  getDelegate?(): Provider;
  forceFlush?(): Promise<void>;
}

const FLUSH_DEADLINE_MS = 2000;

/**
 * Loads bullmq-otel, which is an optional peer dependency.
 *
 * @throws AppError (exit code 2) if it cannot be loaded.
 */
export function openTraces(logger: Pick<Logger, 'debug' | 'warn'>): Traces {
  const { telemetry, api } = load();
  const { contextManager, tracer } = telemetry;
  // Neither is an error: the API provides stand-ins that do nothing. The span is never ended, so it is never exported.
  const probe: unknown = tracer.startSpan('probe').setSpanOnContext(contextManager.active());
  if (contextManager.getMetadata(probe) === '{}') {
    logger.warn(
      'TRACES is on, but no OpenTelemetry SDK with a propagator is registered in this process: nothing is traced',
    );
  }
  return {
    telemetry,
    detached: (start) => api.context.with(api.ROOT_CONTEXT, start),
    recordException({ name, message, code, ...rest }) {
      const stack = stackOf({ name, message, ...rest });
      api.trace
        .getActiveSpan()
        ?.recordException({ name, message, stack, ...(code !== undefined && { code }) });
    },
    async flush() {
      const provider = api.trace.getTracerProvider();
      const registered = provider.getDelegate?.() ?? provider;
      try {
        await withDeadline(Promise.resolve(registered.forceFlush?.()), FLUSH_DEADLINE_MS, 'sending traces');
      } catch (error) {
        logger.warn('the last traces were not sent', { error: toError(error) });
      }
    },
  };
}

/** OpenTelemetry has no causes: they are appended to the stack, as Java prints them. */
function stackOf({ name, message, stack, cause, errors = [] }: ErrorDetails): string {
  const own = stack === '' ? `${name}: ${message}` : stack;
  const causes = [...errors, ...(cause === undefined ? [] : [cause])];
  return [own, ...causes.map((each) => `Caused by: ${stackOf(each)}`)].join('\n');
}

function load(): { telemetry: Telemetry; api: Api } {
  try {
    const here = createRequire(__filename);
    const { BullMQOtel } = here('bullmq-otel') as typeof Otel;
    const there = createRequire(here.resolve('bullmq-otel'));
    return {
      telemetry: new BullMQOtel({ tracerName: 'node-instances-communication' }),
      api: there('@opentelemetry/api') as Api,
    };
  } catch (error) {
    const reason = toError(error).message.split('\n', 1)[0];
    throw new AppError(
      `TRACES is on, and the package bullmq-otel cannot be loaded: ${reason}; expected it installed: npm install bullmq-otel`,
      2,
      { cause: error },
    );
  }
}
