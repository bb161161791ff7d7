import { SingleBar } from 'cli-progress';
import { AppError } from '../errors';
import type { OperatedGroup } from '../operating/pause';
import { drainGroup, type Undone } from '../operating/drain';
import { whoAmI } from '../operating/whoAmI';
import type { Terminal } from './terminal';

/** How often a line is written if stderr is not a terminal, in milliseconds. */
const LINE_INTERVAL_MS = 10_000;

/**
 * Pauses generation and waits until every message has been handled.
 *
 * @param timeoutSeconds undefined: no time limit
 * @throws AppError (exit code 1) after a timeout, or if Ctrl-C ended the wait
 */
export async function drain(
  group: OperatedGroup,
  timeoutSeconds: number | undefined,
  { stderr, tell, stopSignal }: Pick<Terminal, 'stderr' | 'tell' | 'stopSignal'>,
): Promise<void> {
  const stopped = stopSignal();
  const signal =
    timeoutSeconds === undefined
      ? stopped
      : AbortSignal.any([stopped, AbortSignal.timeout(timeoutSeconds * 1000)]);
  const progress = stderr === undefined ? new Lines(tell) : new Bar(stderr);
  let left: Undone = { waiting: 0, active: 0, delayed: 0 };
  let isDrained: boolean;
  try {
    isDrained = await drainGroup(group, {
      ...{ by: whoAmI(), signal },
      onProgress: (now) => progress.show((left = now)),
      onHindrance: (why) => progress.tell(HINDRANCES[why]),
    });
  } finally {
    progress.end();
  }
  if (!isDrained) {
    const why = stopped.aborted ? 'stopped' : `not done after ${timeoutSeconds} s`;
    throw new AppError(`${why}: ${shown(left)}; generation stays paused`, 1);
  }
  tell('every message has been handled; generation stays paused until "resume"');
}

const HINDRANCES = {
  'handling is paused': 'handling is paused: nothing is handled until "resume handling"',
  'no instance is alive': 'no instance is alive: nothing is handled until one is started',
};

const shown = ({ waiting, active, delayed }: Undone) =>
  `${waiting} waiting, ${active} active, ${delayed} delayed`;
const sum = ({ waiting, active, delayed }: Undone) => waiting + active + delayed;

interface Progress {
  show(left: Undone): void;
  tell(text: string): void;
  end(): void;
}

/** A progress bar with the rate and the remaining time. */
class Bar implements Progress {
  readonly #bar: SingleBar;
  readonly #stream: NodeJS.WriteStream;
  readonly #startedAt = performance.now();
  #total: number | undefined;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#bar = new SingleBar({
      format: 'draining [{bar}] {value}/{total}  {rate}/s  {eta_formatted} left  {left}',
      ...{ stream, hideCursor: true, barsize: 20, fps: 5, etaBuffer: 50 },
    });
  }

  show(left: Undone): void {
    if (this.#total === undefined) {
      if (sum(left) === 0) return;
      this.#bar.start(sum(left), 0, { rate: 0, left: shown(left) });
    }
    this.#total ??= sum(left);
    const done = Math.max(0, this.#total - sum(left));
    const rate = Math.round((done / Math.max(1, performance.now() - this.#startedAt)) * 1000);
    this.#bar.update(done, { rate, left: shown(left) });
  }

  tell(text: string): void {
    this.#stream.write(`\n${text}\n`);
  }

  end(): void {
    if (this.#total !== undefined) this.#bar.stop();
  }
}

/** A progress line at an interval. */
class Lines implements Progress {
  readonly tell: (text: string) => void;
  #first: { readonly at: number; readonly left: number } | undefined;
  #toldAt = -Infinity;

  constructor(tell: (text: string) => void) {
    this.tell = tell;
  }

  show(left: Undone): void {
    const now = performance.now();
    if (sum(left) === 0 || now - this.#toldAt < LINE_INTERVAL_MS) return;
    this.#toldAt = now;
    const first = (this.#first ??= { at: now, left: sum(left) });
    const rate = ((first.left - sum(left)) / Math.max(1, now - first.at)) * 1000;
    const speed = rate > 0 ? `; ${rate.toFixed(1)}/s, ${Math.ceil(sum(left) / rate)} s left` : '';
    this.tell(`draining: ${shown(left)}${speed}`);
  }

  end(): void {
    // Every line is complete.
  }
}
