/*
 * The live feed: one look at the group a second, shared by every page that is open here, and none while none is.
 *
 * A page first gets all sections of the state, then those that have changed. Each frame is made once, whoever gets it.
 */
import { toError } from '../errors';
import type { Logger } from '../logger';
import { sleep, withDeadline } from '../time';
import { EventStream } from './eventStream';
import type { LiveState } from '../group/live';

export interface LiveFeedOptions {
  read(): Promise<LiveState>;
  /** What a page needs to know once. */
  readonly hello: object;
  readonly logger: Pick<Logger, 'warn'>;
  /** Most pages at a time. Default 200. */
  readonly mostViews?: number;
  /** Between two looks, in milliseconds. Default 1000. */
  readonly periodMs?: number;
  /** A page that takes nothing for so long is cut off, in milliseconds. Default 30,000. */
  readonly stuckMs?: number;
}

interface View {
  readonly stream: EventStream;
  /** Ends its connection, whatever it is doing. */
  readonly cut: () => void;
}

/** Least time between two looks, in milliseconds, however much news there is. */
const LEAST_PAUSE_MS = 50;
/** A look that takes longer counts as failed, in milliseconds. */
const READ_DEADLINE_MS = 2000;
/** Longest time without a frame, in milliseconds: a page takes longer silence for a lost connection. */
const BEAT_MS = 4000;

export class LiveFeed {
  readonly #options: LiveFeedOptions;
  readonly #views = new Set<View>();
  /** The sections of the state as they are now, each as JSON. */
  readonly #sections = new Map<string, string>();
  #now = 0;
  #sentAt = 0;
  #trouble: { text: string; since: number } | undefined;
  #everything: Uint8Array | undefined;
  #running: Promise<void> | undefined;
  #wake = new AbortController();
  #closed = false;

  constructor(options: LiveFeedOptions) {
    this.#options = options;
  }

  /**
   * The stream for one more page; undefined if there are as many as may be.
   *
   * @param cut ends the page's connection
   */
  open(cut: () => void): ReadableStream<Uint8Array> | undefined {
    if (this.#closed || this.#views.size >= (this.#options.mostViews ?? 200)) return undefined;
    const stream = new EventStream(
      () => this.#frameOfEverything(),
      () => this.#views.delete(view),
    );
    const view: View = { stream, cut };
    this.#views.add(view);
    // While looking goes on there is something to show at once; else as soon as there is.
    if (this.#running !== undefined && this.#sections.size > 0) stream.send(this.#frameOfEverything());
    this.#running ??= this.#run();
    return stream.body;
  }

  get views(): number {
    return this.#views.size;
  }

  /** Something has happened that should be seen at once. */
  changed(): void {
    this.#wake.abort();
  }

  /** Says goodbye to every page. A look that is under way is not waited for. */
  async close(): Promise<void> {
    this.#closed = true;
    const goodbye = frameOf({ goodbye: true });
    for (const { stream } of this.#views) {
      stream.send(goodbye);
      stream.close();
    }
    this.#views.clear();
    this.#wake.abort();
    // Time to get on its way.
    await new Promise((resolve) => setImmediate(resolve));
  }

  async #run(): Promise<void> {
    // What is left from before is not how things are.
    this.#sections.clear();
    this.#trouble = undefined;
    while (this.#views.size > 0) {
      // Armed before the look: what happens meanwhile is not missed.
      this.#wake = new AbortController();
      const reading = this.#options.read();
      reading.catch(() => undefined);
      try {
        this.#publish(await withDeadline(reading, READ_DEADLINE_MS, 'a look at Redis'));
      } catch (thrown) {
        if (!this.#closed) this.#publishTrouble(toError(thrown));
        // One at a time, also when Redis is slow.
        await reading.catch(() => undefined);
      }
      this.#cutOffTheStuck();
      await sleep(LEAST_PAUSE_MS);
      await sleep((this.#options.periodMs ?? 1000) - LEAST_PAUSE_MS, this.#wake.signal);
    }
    this.#running = undefined;
  }

  #publish({ now, ...sections }: LiveState): void {
    const first = this.#sections.size === 0;
    const changed: string[] = [];
    for (const [name, section] of Object.entries(sections)) {
      const json = JSON.stringify(section);
      if (this.#sections.get(name) === json) continue;
      this.#sections.set(name, json);
      changed.push(name);
    }
    const recovered = this.#trouble !== undefined;
    this.#trouble = undefined;
    this.#now = now;
    this.#everything = undefined;
    if (first || recovered) this.#send(this.#frameOfEverything());
    else if (changed.length > 0 || this.#isBeatDue()) this.#send(this.#frameOfSections(changed));
  }

  #publishTrouble(error: Error): void {
    const news = this.#trouble === undefined;
    if (news) this.#options.logger.warn('the live view can not see the group', { error });
    this.#trouble ??= { text: textOf(error), since: Date.now() };
    this.#everything = undefined;
    if (news || this.#isBeatDue()) this.#send(frameOf({ trouble: this.#trouble }));
  }

  #isBeatDue(): boolean {
    return performance.now() - this.#sentAt >= BEAT_MS;
  }

  #send(frame: Uint8Array): void {
    this.#sentAt = performance.now();
    for (const { stream } of this.#views) stream.send(frame);
  }

  #frameOfEverything(): Uint8Array {
    return (this.#everything ??=
      this.#sections.size === 0
        ? frameOf({ hello: this.#options.hello, trouble: this.#trouble })
        : this.#frameOfSections([...this.#sections.keys()], {
            hello: this.#options.hello,
            trouble: this.#trouble,
          }));
  }

  /** Sections are JSON already. */
  #frameOfSections(names: readonly string[], more: object = {}): Uint8Array {
    const fields = names.map((name) => `,"${name}":${this.#sections.get(name)}`).join('');
    const head = JSON.stringify({ now: this.#now, ...more }).slice(0, -1);
    return encode(`${head}${fields}}`);
  }

  #cutOffTheStuck(): void {
    for (const view of this.#views) {
      if (view.stream.behindMs < (this.#options.stuckMs ?? 30_000)) continue;
      this.#views.delete(view);
      view.cut();
    }
  }
}

/** For people: how a client says that there is no connection tells nobody anything. */
function textOf({ message }: Error): string {
  const away = /writeable|Connection is closed|timed out|took longer|ECONN|EPIPE|Max retries/i.test(message);
  return away ? 'it does not answer' : message.split('\n', 1)[0]!.slice(0, 200);
}

const frameOf = (content: object) => encode(JSON.stringify(content));

/** One event: JSON has no line breaks. */
const encode = (json: string) => new TextEncoder().encode(`data: ${json}\n\n`);
