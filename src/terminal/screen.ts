import type { Write } from './write';

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

const HOME = '\u001b[H';
const CLEAR_SCREEN = '\u001b[2J';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';

/**
 * Draws text over what it drew before, at the top of a terminal. Nothing is cleared that is not written again in the
 * same breath, so that nothing flickers.
 */
export class Screen {
  readonly #write: Write;
  #drawn = false;

  constructor(write: Write) {
    this.#write = write;
  }

  /** Lines that do not fit are left out, and counted. False: nobody looks any more. */
  async draw(text: string, { rows }: Pick<ScreenSize, 'rows'>): Promise<boolean> {
    const lines = text.trimEnd().split('\n');
    // The last row stays free for the cursor: a line end there would scroll all of it.
    const room = Math.max(rows - 1, 2);
    if (lines.length > room)
      lines.splice(room - 1, Infinity, `    … and ${lines.length - room + 1} more lines`);
    const start = this.#drawn ? HOME : HIDE_CURSOR + CLEAR_SCREEN + HOME;
    this.#drawn = true;
    return this.#write(start + lines.map((line) => `${line}${CLEAR_LINE}\n`).join('') + CLEAR_BELOW);
  }

  /** Leaves what was drawn last, and gives the cursor back. */
  async close(): Promise<void> {
    if (this.#drawn) await this.#write(SHOW_CURSOR);
  }
}
