// Traces of messages, from their commit to the end of their handling, printed on stdout. No task: loaded before the
// program, it registers an OpenTelemetry SDK in the process.
//
//     npm install bullmq-otel @opentelemetry/api @opentelemetry/core @opentelemetry/sdk-trace-base @opentelemetry/context-async-hooks
//     TRACES=on node --import ./examples/tracing.mjs dist/main.js
//
// In place of ConsoleSpanExporter put the one of your collector, such as OTLPTraceExporter of
// @opentelemetry/exporter-trace-otlp-http. Listen for no signals here: the instance flushes the provider when it has
// stopped, and a signal handler that ends the process would abort active messages.
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { BasicTracerProvider, BatchSpanProcessor, ConsoleSpanExporter } from '@opentelemetry/sdk-trace-base';

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(new ConsoleSpanExporter())] }),
);
