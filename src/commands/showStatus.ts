import type { Paint } from '../terminal/colors';
import { printable } from '../terminal/printable';
import { sleep, untilAborted } from '../time';
import type { Write } from '../terminal/write';
import { Screen, type ScreenSize } from '../terminal/screen';
import type { GroupState } from '../group/read';
import { toStatus } from '../group/status';
import { formatStatus } from './statusTable';

export interface ShowStatusOptions {
  readonly json: boolean;
  /** The status is refreshed every second until this aborts; undefined: shown once. */
  readonly watching: AbortSignal | undefined;
  /** Current size of the terminal; undefined if the output is not a terminal. */
  readonly screenSize: () => ScreenSize | undefined;
  readonly paint: Paint;
  readonly write: Write;
}

const EVERY_MS = 1000;

/** Writes the status once, or repeatedly, on a terminal in place. Ends when the reader closes the output. */
export async function showStatus(read: () => Promise<GroupState>, options: ShowStatusOptions): Promise<void> {
  const { json, watching, screenSize, paint, write } = options;
  const textOf = (group: GroupState) => {
    if (json) return `${printable(JSON.stringify(toStatus(group)))}\n`;
    return formatStatus(group, { paint, width: screenSize()?.columns ?? Infinity });
  };
  if (watching === undefined) {
    await write(textOf(await read()));
    return;
  }

  const screen = new Screen(write);
  try {
    for (let first = true; !watching.aborted; first = false) {
      // Ctrl-C does not wait for a slow Redis.
      const group = await untilAborted(read(), watching);
      if (group === undefined) return;
      const size = json ? undefined : screenSize();
      const written =
        size === undefined
          ? await write(first || json ? textOf(group) : `\n${textOf(group)}`)
          : await screen.draw(textOf(group), size);
      if (!written) return;
      await sleep(EVERY_MS, watching);
    }
  } finally {
    await screen.close();
  }
}
