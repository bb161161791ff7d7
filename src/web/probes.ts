import { Hono } from 'hono';
import type { Probes } from './settings';

/** Prometheus's text format. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** The routes for machines: liveness, readiness and metrics. */
export function createProbeRoutes({ isHealthy, readiness, metrics }: Probes): Hono {
  return new Hono()
    .get('/healthz', (c) => (isHealthy() ? c.text('ok') : c.text('not working', 503)))
    .get('/readyz', async (c) => {
      const answer = await readiness();
      return c.json(answer, answer.ready ? 200 : 503);
    })
    .get('/metrics', async (c) => c.body(await metrics(), 200, { 'Content-Type': METRICS_TYPE }));
}
