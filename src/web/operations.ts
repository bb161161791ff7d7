import { AppError } from '../errors';
import { readGroup } from '../group/read';
import { generatorRole } from '../leadership/role';
import { setCursor } from '../operating/cursor';
import { handOver } from '../operating/handOver';
import { type Pausable, type OperatedGroup, pauseGroup, resumeGroup } from '../operating/pause';
import { namedSources } from '../operating/sources';

/** The position of a source: its cursor as JSON (undefined before the first commit), and its number of messages. */
export interface SourcePosition {
  readonly cursorJson: string | undefined;
  readonly generated: number;
}

export interface CursorChange {
  readonly source: string | undefined;
  /** Undefined: the cursor is reset. */
  readonly cursorJson: string | undefined;
  /** The expected current cursor: as JSON, or null for none. Undefined: any. */
  readonly expect: string | null | undefined;
  readonly by: string;
}

/** The operations of the live view on a running group. Each rejects with an AppError that explains a failure. */
export class Operations {
  readonly #group: OperatedGroup;

  constructor(group: OperatedGroup) {
    this.#group = group;
  }

  /** @param source only this source; undefined: all */
  async pause(what: Pausable, source: string | undefined, by: string): Promise<void> {
    await this.#checkSource(source, true);
    await pauseGroup(this.#group, { what, source, by });
  }

  async resume(what: Pausable, source: string | undefined, by: string): Promise<void> {
    await this.#checkSource(source, true);
    await resumeGroup(this.#group, { what, source, by });
  }

  async position(source: string | undefined): Promise<SourcePosition> {
    await this.#checkSource(source);
    const { client, keys } = this.#group;
    const cursorKey = generatorRole(keys, source).keys.cursor;
    const [cursor, generated] = await client.hmget(cursorKey, 'cursor', 'generated');
    return { cursorJson: cursor ?? undefined, generated: Number(generated) || 0 };
  }

  /** Resolves with the replaced cursor as JSON. */
  async setCursor({ source, cursorJson, expect, by }: CursorChange): Promise<{ from: string | undefined }> {
    await this.#checkSource(source);
    const expected = expect === undefined ? undefined : { cursorJson: expect ?? undefined };
    const result = await setCursor(this.#group, { source, cursorJson, expect: expected, by });
    if (result.moved) return { from: result.from };
    throw new AppError(`the cursor is ${result.found ?? 'none'} now, expected ${expect ?? 'none'}`, 1);
  }

  /**
   * Resolves with the new leader.
   *
   * @param to undefined: any eligible instance
   */
  async handOver(source: string | undefined, to: string | undefined, by: string): Promise<string> {
    await this.#checkSource(source);
    const { instance } = await handOver(this.#group, { source, to, by });
    return instance;
  }

  /** @param allowAll whether no name means all sources */
  async #checkSource(source: string | undefined, allowAll = false): Promise<void> {
    if (source === undefined && allowAll) return;
    const named = namedSources(await readGroup(this.#group));
    if (source === undefined ? named.length === 0 : named.includes(source)) return;
    const found = source === undefined ? 'no source was named' : `there is no source ${source}`;
    throw new AppError(
      `${found}; expected ${named.join(', ') || 'none: this group has no named sources'}`,
      1,
    );
  }
}
