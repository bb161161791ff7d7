import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { parse as parseYaml } from 'yaml';
import { ELECTED, type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { boardOf, failingChecks, probe, Scrape } from '../helpers/probes';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const TASK = resolve('__tests__/fixtures/ledgerTask.mjs');

let redis: RedisServer;

beforeEach(async () => {
  redis = await startRedis();
});

afterEach(async () => {
  await killAll();
  await redis.stop();
});

const start = (env: Record<string, string> = {}) =>
  startInstance({ REDISURL: redis.url, TASK, TOTAL: '0', BOARD: 'on', BOARD_PORT: '0', ...env });

/** Waits until /readyz returns this status, and returns the problems that it names. */
async function readiness(url: string, status: number): Promise<string[]> {
  return waitFor(async () => {
    const answer = await probe(url, '/readyz');
    expect([200, 503]).toContain(answer.status);
    expect(answer.ms).toBeLessThan(1500);
    return answer.status === status && failingChecks(answer);
  }, `/readyz to give ${status}`);
}

async function startNode(env: Record<string, string> = {}) {
  const instance = start(env);
  return { instance, url: await boardOf(instance) };
}

describe('/metrics', () => {
  it('match what two instances did, can be parsed at any moment, and have bounded labels', async () => {
    const env = { TOTAL: '20', FAIL_EVERY: '6', ATTEMPTS: '2', BACKOFF_MS: '1', HANDLE_MS: '30' };
    const group = { ...env, NAMESPACE: 'a"b\\c' };
    const nodes = await Promise.all([startNode(group), startNode(group)]);
    const scrapes = await waitFor(async () => {
      const found = await Promise.all(nodes.map(({ url }) => Scrape.of(url)));
      const ended = ['completed', 'failed'].map((outcome) => sum(found, 'nic_messages_total', { outcome }));
      // Errors are recorded with a short delay, and the two instances are not scraped at the same instant.
      const allRecorded = found.every((scrape) => scrape.value('nic_errors') === 3);
      return ended[0]! + ended[1]! === 20 && allRecorded && found;
    }, 'all messages to be done');

    expect(sum(scrapes, 'nic_messages_total', { outcome: 'completed' })).toBe(17);
    expect(sum(scrapes, 'nic_messages_total', { outcome: 'failed' })).toBe(3);
    expect(sum(scrapes, 'nic_messages_total', { outcome: 'retried' })).toBe(3);
    // Three messages were handled twice; only the first attempt counts towards the waiting time.
    expect(sum(scrapes, 'nic_message_handling_seconds_count')).toBe(23);
    expect(sum(scrapes, 'nic_message_waiting_seconds_count')).toBe(20);
    const seconds = sum(scrapes, 'nic_message_handling_seconds_sum');
    expect(seconds).toBeGreaterThan(23 * 0.029);
    expect(seconds).toBeLessThan(23 * 0.3);
    expect(sum(scrapes, 'nic_leader')).toBe(1);
    expect(sum(scrapes, 'nic_keeper')).toBe(1);
    expect(sum(scrapes, 'nic_sources_led')).toBe(1);
    for (const scrape of scrapes) {
      expect(scrape.value('nic_generated_total')).toBe(20);
      expect(scrape.value('nic_errors')).toBe(3);
      expect(scrape.value('nic_term')).toBe(1);
      expect(scrape.value('nic_redis_up')).toBe(1);
      expect(scrape.value('nic_leader_overdue')).toBe(0);
      for (const state of ['waiting', 'active', 'delayed']) {
        expect(scrape.value('nic_backlog_messages', { state })).toBe(0);
      }
      expect(scrape.value('nic_messages_in_hand')).toBe(0);
      expect(scrape.value('nic_messages_slow')).toBe(0);
      expect(scrape.value('nic_message_oldest_active_seconds')).toBe(0);
      expect(scrape.value('nic_activity_stalled', { activity: 'heartbeat' })).toBe(0);
      expect(scrape.value('nic_paused', { what: 'generating' })).toBe(0);
    }
    // There was no leader before.
    for (const cause of ['crash', 'silence', 'hand-over'])
      expect(sum(scrapes, 'nic_failovers_total', { cause })).toBe(0);
    const renewed = await waitFor(async () => {
      const found = await Promise.all(nodes.map(({ url }) => Scrape.of(url)));
      return sum(found, 'nic_lease_renewals_total', { outcome: 'extended' }) > 0 && found;
    }, 'a renewal');
    expect(sum(renewed, 'nic_lease_renewal_seconds_count')).toBeGreaterThan(0);
    expect(sum(renewed, 'nic_lease_renewals_total', { outcome: 'unanswered' })).toBe(0);

    expectBoundedLabels(renewed[0]!, 'a"b\\c');
  });

  it('count the takeovers of each instance by how the previous leader ended', async () => {
    const env = { LEASE_TTL_MS: '900' };
    let leader = await startNode(env);
    await leader.instance.logged(ELECTED);
    for (const [signal, cause] of [
      ['SIGKILL', 'crash'],
      ['SIGTERM', 'hand-over'],
      ['SIGSTOP', 'silence'],
    ] as const) {
      // One at a time: with several, one can win a lease that another has seen to be free.
      const follower = await startNode(env);
      await follower.instance.logged('following');
      leader.instance.signal(signal);
      await follower.instance.logged(ELECTED);
      const scrape = await Scrape.of(follower.url);
      const counted = ['crash', 'hand-over', 'silence'].filter((each) =>
        scrape.value('nic_failovers_total', { cause: each }),
      );
      expect(counted).toEqual([cause]);
      expect(scrape.value('nic_failovers_total', { cause })).toBe(1);
      leader = follower;
    }
  });

  it('are served in time while Redis is unreachable, without the values from Redis', async () => {
    const { url } = await startNode({ TOTAL: '5' });
    await waitFor(
      async () => (await Scrape.of(url)).value('nic_messages_total', { outcome: 'completed' }) === 5,
      'all messages to be done',
    );
    for (const [fail, mend] of [
      [() => redis.process.kill('SIGSTOP'), () => redis.process.kill('SIGCONT')],
      [() => redis.kill(), () => redis.restart()],
    ]) {
      await fail!();
      const answers = await Promise.all([probe(url, '/metrics'), probe(url, '/metrics')]);
      for (const { status, body, ms } of answers) {
        expect(status).toBe(200);
        expect(ms).toBeLessThan(1500);
        const scrape = new Scrape(body);
        expect(scrape.value('nic_redis_up')).toBe(0);
        expect(scrape.value('nic_messages_total', { outcome: 'completed' })).toBe(5);
        expect(body).not.toMatch(/^nic_(backlog_messages|errors|generated_total)\{/m);
      }
      expect(await probe(url, '/healthz')).toMatchObject({ status: 200 });
      expect(await readiness(url, 503)).toContain('redis');
      await mend!();
      await readiness(url, 200);
      expect((await Scrape.of(url)).value('nic_redis_up')).toBe(1);
    }
  });

  it('are separate for two instances in one process, except for the process metrics', async () => {
    const script = `
      const { createInstance } = require(${JSON.stringify(resolve('dist/index.js'))});
      const { freemem } = require('node:os');
      const { createServer } = require('node:net');
      const port = () => new Promise((done) => {
        const server = createServer().listen(0, '127.0.0.1', () => {
          const { port } = server.address();
          server.close(() => done(port));
        });
      });
      const make = async (NAMESPACE, total) => {
        const BOARD_PORT = String(await port());
        const task = {
          async *generate() { for (let n = 1; n <= total; n++) yield { messages: [n], cursor: n }; },
          handle() {},
        };
        const env = { REDISURL: process.env.REDISURL, NAMESPACE, BOARD_PORT, LOG_LEVEL: 'error' };
        const instance = createInstance({ task, env });
        await instance.start();
        return { instance, url: 'http://127.0.0.1:' + BOARD_PORT };
      };
      const text = async (url, total) => {
        for (;;) {
          const text = await fetch(url + '/metrics').then((answer) => answer.text(), () => '');
          const completed = /^nic_messages_total\\{outcome="completed",.*\\} (\\d+)$/m.exec(text);
          if (completed?.[1] === String(total)) return text;
          await new Promise((done) => setTimeout(done, 20));
        }
      };
      (async () => {
        const [a, b] = [await make('a', 3), await make('b', 4)];
        const texts = [await text(a.url, 3), await text(b.url, 4)];
        await a.instance.stop();
        texts.push(await text(b.url, 4));
        await b.instance.stop();
        process.stdout.write(JSON.stringify(texts));
      })();`;
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', script], {
      env: { REDISURL: redis.url },
      timeout: 30_000,
    });
    expect(stderr).toBe('');
    const [a, b, later] = (JSON.parse(stdout) as string[]).map((text) => new Scrape(text));
    const completed = (scrape?: Scrape) => scrape?.value('nic_messages_total', { outcome: 'completed' });
    expect([completed(a), completed(b), completed(later)]).toEqual([3, 4, 4]);
    for (const scrape of [a, b, later])
      expect(scrape!.value('process_start_time_seconds')).toBeGreaterThan(0);
  });
});

describe('/readyz', () => {
  it('reports a leader and a follower as ready, but not an instance that is shutting down', async () => {
    const env = { TOTAL: '1', HANDLE_MS: '60000', SHUTDOWN_TIMEOUT_MS: '2000' };
    const first = await startNode(env);
    expect(await readiness(first.url, 200)).toEqual([]);
    const second = await startNode(env);
    expect(await readiness(second.url, 200)).toEqual([]);
    const body = (await probe(first.url, '/readyz')).body;
    expect(JSON.parse(body)).toEqual({
      ready: true,
      checks: {
        ...{ instance: 'ok', redis: 'ok', worker: 'ok', presence: 'ok' },
        ...{ activities: 'ok', commits: 'ok', leadership: 'ok' },
      },
    });

    const busy = await waitFor(async () => {
      const found = await Promise.all([first, second].map(({ url }) => Scrape.of(url)));
      return [first, second].find((_, index) => found[index]!.value('nic_messages_in_hand') === 1);
    }, 'the message to be active');
    busy.instance.signal('SIGTERM');
    await busy.instance.logged('finishing active messages');
    expect(await readiness(busy.url, 503)).toEqual(['instance']);
    expect(await probe(busy.url, '/healthz')).toMatchObject({ status: 200 });
    expect(await busy.instance.exited).toBe(0);
    await expect(probe(busy.url, '/readyz')).rejects.toThrow();
  });

  it('reports a leader that cannot renew its lease as not ready until it steps down', async () => {
    const lease = await startRedis();
    try {
      const { instance, url } = await startNode({ LEASE_REDIS_URLS: lease.url, LEASE_TTL_MS: '4000' });
      await waitFor(async () => (await Scrape.of(url)).value('nic_leader') === 1, 'it to lead');
      await readiness(url, 200);
      lease.process.kill('SIGSTOP');
      expect(await readiness(url, 503)).toEqual(['leadership']);
      const late = await Scrape.of(url);
      expect(late.value('nic_leader_overdue')).toBe(1);
      await waitFor(async () => {
        const scrape = await Scrape.of(url);
        return scrape.value('nic_lease_renewals_total', { outcome: 'unanswered' })! > 0;
      }, 'a renewal without an answer');
      await instance.logged('stepped down');
      await readiness(url, 200);
      expect((await Scrape.of(url)).value('nic_leader')).toBe(0);
    } finally {
      await lease.stop();
    }
  });
});

it('the three probe paths do not ask for the password of the board', async () => {
  const { url } = await startNode({ BOARD_PASSWORD: 'Sesame' });
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    await waitFor(async () => (await probe(url, path)).status === 200, path);
  }
  expect((await probe(url, '/board')).status).toBe(401);
  expect((await probe(url, '/metrics')).type).toBe('text/plain; version=0.0.4; charset=utf-8');
});

it('an instance without a board does not load the board', async () => {
  const instance: InstanceProcess = start({
    BOARD: 'off',
    TOTAL: '1',
    NODE_OPTIONS: `--require ${resolve('__tests__/fixtures/loadedPackages.cjs')}`,
  });
  await instance.logged('nothing more to generate');
  instance.signal('SIGTERM');
  await instance.exited;
  const [loaded] = instance.noise.filter((line) => line.startsWith('loaded: '));
  expect(loaded).toContain('bullmq');
  for (const name of ['prom-client', 'hono', '@bull-board', 'bullmq-otel', '@opentelemetry'])
    expect(loaded).not.toContain(name);
});

describe('metrics in the dashboard, the alerts and the documents', () => {
  interface Query {
    expr: string;
    datasource?: { uid: string };
  }
  const dashboard = JSON.parse(readFileSync('deploy/grafana-dashboard.json', 'utf8')) as {
    panels: { id: number; title: string; datasource: { uid: string }; targets: Query[] }[];
    annotations: { list: Query[] };
    templating: { list: { name: string; query: string | { query: string } }[] };
  };
  const alerts = parseYaml(readFileSync('deploy/prometheus-alerts.yml', 'utf8')) as {
    groups: { rules: Query[] }[];
  };

  it('appear in a real scrape, with their labels', async () => {
    const { url } = await startNode({ SOURCES: 'a' });
    const scrape = await waitFor(async () => {
      const found = await Scrape.of(url);
      return found.value('nic_sources_led') === 1 && found;
    }, 'it to lead its source');
    const queries = [...dashboard.panels.flatMap(({ targets }) => targets), ...dashboard.annotations.list];
    const rules = alerts.groups.flatMap((group) => group.rules);
    const variables = dashboard.templating.list.map(({ query }) =>
      typeof query === 'string' ? query : query.query,
    );
    const expressions = [...queries, ...rules].map(({ expr }) => expr).concat(variables.slice(1));
    expect(expressions.length).toBeGreaterThan(30);
    for (const expr of expressions) {
      const names = expr.match(/\b(nic|nodejs|process)_\w+/g) ?? [];
      expect([expr, names.length]).not.toEqual([expr, 0]);
      for (const name of names) expect([expr, scrape.names]).toEqual([expr, expect.arrayContaining([name])]);
      const labels = ['instance', ...names.flatMap((name) => scrape.series(name).flatMap(Object.keys))];
      for (const label of labelsIn(expr))
        expect([expr, labels]).toEqual([expr, expect.arrayContaining([label])]);
      expect([expr, count(expr, /[({[]/g)]).toEqual([expr, count(expr, /[)}\]]/g)]);
    }

    const documented = [...readFileSync('docs/observability.md', 'utf8').matchAll(/^\| `(nic_\w+)/gm)];
    expect(documented.map(([, name]) => name).sort()).toEqual(
      [...scrape.metrics.keys()].filter((name) => name.startsWith('nic_')).sort(),
    );
  });

  it('can be imported: every panel queries the selected data source and group', () => {
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(['datasource', 'group', 'instance']);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const { title, datasource, targets } of dashboard.panels) {
      for (const target of targets) {
        const uids = [target.datasource?.uid, datasource.uid];
        expect([title, ...uids]).toEqual([title, '${datasource}', '${datasource}']);
        const chosen = expect.stringMatching(/group="\$group"|instance=~"\$instance"/) as unknown;
        expect([title, target.expr]).toEqual([title, chosen]);
      }
    }
  });
});

/** Returns the labels that a PromQL expression names in matchers, groupings and label_values queries. */
function labelsIn(expr: string): string[] {
  const matchers = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(
    ([, inner]) => inner!.match(/\w+(?=(=|!=|=~|!~)")/g) ?? [],
  );
  const groupings = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, inner]) => inner!.split(/, */));
  const values = [...expr.matchAll(/^label_values\(.*, (\w+)\)$/g)].map(([, label]) => label!);
  return [...matchers, ...groupings, ...values];
}

const count = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0;

function sum(scrapes: Scrape[], name: string, labels: Record<string, string> = {}): number {
  return scrapes.reduce((total, scrape) => total + (scrape.value(name, labels) ?? 0), 0);
}

/** Expects every series to have the listed labels, with values from a short list. */
function expectBoundedLabels(scrape: Scrape, group: string): void {
  const allowed: Record<string, string[]> = {
    group: [group],
    cause: ['by hand', 'crash', 'hand-over', 'silence'],
    state: ['active', 'delayed', 'waiting', 'generating', 'finished', 'paused', 'failed', 'vacant'],
    what: ['generating', 'handling'],
    activity: [
      ...['heartbeat', 'crash watch', 'balancer', 'worker watchdog', 'undelivered messages'],
      ...['error recorder', 'redelivery', 'samples', 'sweeping'],
    ],
    outcome: ['completed', 'extended', 'failed', 'lost', 'retried', 'unanswered'],
  };
  for (const metric of scrape.metrics.values()) expect(metric.help).not.toBe('');
  const own = scrape.names.filter((name) => name.startsWith('nic_'));
  expect(own.length).toBeGreaterThan(15);
  for (const name of own) {
    for (const { le, ...labels } of scrape.series(name)) {
      expect([name, le === undefined]).toEqual([name, !name.endsWith('_bucket')]);
      expect([name, Object.keys(labels)]).toEqual([name, expect.arrayContaining(['group'])]);
      for (const [label, value] of Object.entries(labels))
        expect([name, label, allowed[label]]).toEqual([name, label, expect.arrayContaining([value])]);
    }
  }
}
