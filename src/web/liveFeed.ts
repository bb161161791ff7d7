/*
 * The live feed reads the state of the group once a second for all open pages together, and not at all while no page is
 * open.
 *
 * A page first receives all sections of the state, then those that have changed. Each frame is encoded once for all
 * pages.
 */
import { toError } from '../errors';
import type { Logger } from '../logging/logger';
import { sleep, withDeadline } from '../time';
import { EventStream } from './eventStream';
import type { LiveState } from '../group/live';

export interface LiveFeedOptions {
  read(): Promise<LiveState>;
  /** What each page receives once, at the start. */
  readonly hello: object;
  readonly logger: Pick<Logger, 'warn'>;
  /** Maximum number of open pages. Default 200. */
  readonly maxViews?: number;
  /** Interval between two reads, in milliseconds. Default 1000. */
  readonly periodMs?: number;
  /** A page that takes no frame for this long is disconnected, in milliseconds. Default 30,000. */
  readonly stuckMs?: number;
}

interface View {
  readonly stream: EventStream;
  /** Closes its connection immediately. */
  readonly cut: () => void;
}

/** Minimum interval between two reads, in milliseconds, however often `changed` is called. */
const MIN_INTERVAL_MS = 50;
/** A read that takes longer counts as failed, in milliseconds. */
const READ_TIMEOUT_MS = 2000;
/** Maximum interval between two frames, in milliseconds. After a longer silence, a page reconnects. */
const HEARTBEAT_INTERVAL_MS = 4000;

export class LiveFeed {
  readonly #options: LiveFeedOptions;
  readonly #views = new Set<View>();
  /** The current sections of the state, each as JSON. */
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
   * Opens the stream of another page; undefined if too many pages are open.
   *
   * @param cut closes the page's connection
   */
  open(cut: () => void): ReadableStream<Uint8Array> | undefined {
    if (this.#closed || this.#views.size >= (this.#options.maxViews ?? 200)) return undefined;
    const stream = new EventStream(
      () => this.#frameOfEverything(),
      () => this.#views.delete(view),
    );
    const view: View = { stream, cut };
    this.#views.add(view);
    // If the feed is running, the state is known; otherwise the first read sends it.
    if (this.#running !== undefined && this.#sections.size > 0) stream.send(this.#frameOfEverything());
    this.#running ??= this.#run();
    return stream.body;
  }

  get views(): number {
    return this.#views.size;
  }

  /** Reads the state immediately, because something has changed. */
  changed(): void {
    this.#wake.abort();
  }

  /** Tells every page that the instance is stopping. Does not wait for a read that is in progress. */
  async close(): Promise<void> {
    this.#closed = true;
    const goodbye = frameOf({ goodbye: true });
    for (const { stream } of this.#views) {
      stream.send(goodbye);
      stream.close();
    }
    this.#views.clear();
    this.#wake.abort();
    // Let the last frames be written.
    await new Promise((resolve) => setImmediate(resolve));
  }

  async #run(): Promise<void> {
    // Discard stale state.
    this.#sections.clear();
    this.#trouble = undefined;
    while (this.#views.size > 0) {
      // Created before the read, so that a change during the read is not missed.
      this.#wake = new AbortController();
      const reading = this.#options.read();
      reading.catch(() => undefined);
      try {
        this.#publish(await withDeadline(reading, READ_TIMEOUT_MS, 'reading the state of the group'));
      } catch (thrown) {
        if (!this.#closed) this.#publishTrouble(toError(thrown));
        // Only one read at a time, even if Redis is slow.
        await reading.catch(() => undefined);
      }
      this.#disconnectStalled();
      await sleep(MIN_INTERVAL_MS);
      await sleep((this.#options.periodMs ?? 1000) - MIN_INTERVAL_MS, this.#wake.signal);
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
    else if (changed.length > 0 || this.#isHeartbeatDue()) this.#send(this.#frameOfSections(changed));
  }

  #publishTrouble(error: Error): void {
    const news = this.#trouble === undefined;
    if (news) this.#options.logger.warn('the live view cannot read the state of the group', { error });
    this.#trouble ??= { text: textOf(error), since: Date.now() };
    this.#everything = undefined;
    if (news || this.#isHeartbeatDue()) this.#send(frameOf({ trouble: this.#trouble }));
  }

  #isHeartbeatDue(): boolean {
    return performance.now() - this.#sentAt >= HEARTBEAT_INTERVAL_MS;
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

  /** Sections are already JSON. */
  #frameOfSections(names: readonly string[], more: object = {}): Uint8Array {
    const fields = names.map((name) => `,"${name}":${this.#sections.get(name)}`).join('');
    const head = JSON.stringify({ now: this.#now, ...more }).slice(0, -1);
    return encode(`${head}${fields}}`);
  }

  #disconnectStalled(): void {
    for (const view of this.#views) {
      if (view.stream.behindMs < (this.#options.stuckMs ?? 30_000)) continue;
      this.#views.delete(view);
      view.cut();
    }
  }
}

/** The error in words for users. A client's message about a lost connection would not help them. */
function textOf({ message }: Error): string {
  const away = /writeable|Connection is closed|timed out|took longer|ECONN|EPIPE|Max retries/i.test(message);
  return away ? 'it does not answer' : message.split('\n', 1)[0]!.slice(0, 200);
}

const frameOf = (content: object) => encode(JSON.stringify(content));

/** Encodes one event. JSON contains no line breaks. */
const encode = (json: string) => new TextEncoder().encode(`data: ${json}\n\n`);
