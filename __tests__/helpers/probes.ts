import parsePrometheusTextFormat from 'parse-prometheus-text-format';
import type { InstanceProcess } from './instance';

/** One metric as parsed from the Prometheus text format. */
export interface Metric {
  name: string;
  help: string;
  type: string;
  metrics: { labels?: Record<string, string>; value?: string }[];
}

function parse(text: string): Metric[] {
  return parsePrometheusTextFormat(text) as Metric[];
}

/** Returns the address of the board of an instance; BOARD must be on and BOARD_PORT 0. */
export async function boardOf(instance: InstanceProcess): Promise<string> {
  const { url } = await instance.logged((line) => typeof line['url'] === 'string');
  return url as string;
}

export interface Probe {
  status: number;
  body: string;
  type: string | null;
  /** Response time in milliseconds. */
  ms: number;
}

export async function probe(url: string, path: string): Promise<Probe> {
  const startedAt = performance.now();
  const response = await fetch(url + path, { signal: AbortSignal.timeout(10_000) });
  const body = await response.text();
  const type = response.headers.get('content-type');
  return { status: response.status, body, type, ms: performance.now() - startedAt };
}

/** Returns the problems that /readyz names. */
export function failingChecks({ body }: Probe): string[] {
  const { checks } = JSON.parse(body) as { checks: Record<string, string> };
  return Object.keys(checks).filter((name) => checks[name] !== 'ok');
}

/** A scrape, parsed. */
export class Scrape {
  readonly metrics: ReadonlyMap<string, Metric>;
  /** Without its comments, the parts of a histogram become separate metrics. */
  readonly #samples: ReadonlyMap<string, Metric>;

  constructor(text: string) {
    const byName = (metrics: Metric[]) => new Map(metrics.map((metric) => [metric.name, metric]));
    this.metrics = byName(parse(text));
    this.#samples = byName(parse(text.replace(/^#.*$/gm, '')));
  }

  static async of(url: string): Promise<Scrape> {
    const { status, body } = await probe(url, '/metrics');
    if (status !== 200) throw new Error(`/metrics gave ${status}: ${body}`);
    return new Scrape(body);
  }

  /** Names as used in queries: a histogram has those with the suffixes `_bucket`, `_sum` and `_count`. */
  get names(): string[] {
    return [...this.#samples.keys()];
  }

  /** Returns the labels of each series of that name. */
  series(name: string): Record<string, string>[] {
    return this.#samples.get(name)?.metrics.map(({ labels = {} }) => labels) ?? [];
  }

  /** Returns the value with exactly these labels and `group`; undefined if there is none. */
  value(name: string, labels: Record<string, string> = {}): number | undefined {
    const sorted = (all: Record<string, string>) => JSON.stringify(Object.entries(all).sort());
    const found = this.#samples
      .get(name)
      ?.metrics.find(({ labels: { group: _, ...others } = {} }) => sorted(others) === sorted(labels));
    return found === undefined ? undefined : Number(found.value);
  }
}
