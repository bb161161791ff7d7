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
 * Draws text at the top of a terminal, over what it drew before. Each line is overwritten and cleared in the same write,
 * so the screen does not flicker.
 */
export class Screen {
  readonly #write: Write;
  #drawn = false;

  constructor(write: Write) {
    this.#write = write;
  }

  /** Omits lines that do not fit and says how many. Resolves to false once the output has been closed. */
  async draw(text: string, { rows }: Pick<ScreenSize, 'rows'>): Promise<boolean> {
    const lines = text.trimEnd().split('\n');
    // Keep the last row free for the cursor: a line feed there would scroll the screen.
    const room = Math.max(rows - 1, 2);
    if (lines.length > room)
      lines.splice(room - 1, Infinity, `    … and ${lines.length - room + 1} more lines`);
    const start = this.#drawn ? HOME : HIDE_CURSOR + CLEAR_SCREEN + HOME;
    this.#drawn = true;
    return this.#write(start + lines.map((line) => `${line}${CLEAR_LINE}\n`).join('') + CLEAR_BELOW);
  }

  /** Shows the cursor again. What was drawn last stays. */
  async close(): Promise<void> {
    if (this.#drawn) await this.#write(SHOW_CURSOR);
  }
}
