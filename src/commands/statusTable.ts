import { type Paint, plain } from '../terminal/colors';
import { fit, oneLine, padEnd, padStart, widthOf } from '../terminal/columns';
import type { Status } from '../group/status';

export interface TableOptions {
  /** Columns that no line exceeds, whatever the names. */
  readonly width?: number;
  readonly paint?: Paint;
  /** Milliseconds since 1970. */
  readonly now?: number;
}

/** Of a terminal, and of what is written elsewhere. */
const WIDTH = 80;
/** Below these, the numbers would no longer fit. */
const LEAST_WIDTH = 60;

/** The status as a person reads it. */
export function formatStatus(status: Status, options: TableOptions = {}): string {
  const { paint = plain, now = Date.now() } = options;
  const width = Math.max(Math.min(options.width ?? WIDTH, WIDTH), LEAST_WIDTH);
  const { messages, errors } = status;
  const failed = `${messages.failed} failed`;
  return [
    titleOf(status, width, paint, now),
    '',
    `messages   ${messages.generated} generated`,
    `           ${messages.waiting} waiting   ${messages.active} in hand   ${messages.delayed} delayed`,
    `           ${messages.completed} completed   ${messages.failed > 0 ? paint('red', failed) : failed}`,
    `errors     ${errors > 0 ? `${paint('red', String(errors))}   (getErrors prints them)` : errors}`,
    '',
    ...tableOf(status, width, paint, now),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function titleOf({ namespace, leader }: Status, width: number, paint: Paint, now: number): string {
  if (leader === null) {
    const text = ': no generator';
    return fit(oneLine(namespace), width - text.length) + paint('red', text);
  }
  const [start, end] = [': generator ', `, term ${oneLine(leader.term)}, for ${ago(leader.since, now)}`];
  const room = width - start.length - end.length;
  const [group, name] = [oneLine(namespace), oneLine(leader.instance)];
  // What the one does not need, the other may have.
  const groupRoom = Math.max(Math.floor(room / 3), room - widthOf(name));
  const fitted = fit(group, groupRoom);
  return `${fitted}${start}${paint('green', fit(name, room - widthOf(fitted)))}${end}`;
}

function tableOf({ instances }: Status, width: number, paint: Paint, now: number): string[] {
  const title = `instances  ${instances.length}`;
  if (instances.length === 0) return [title];
  const rows = instances.map(({ instance, leader, handled, failed, startedAt }) => ({
    name: `  ${leader ? '*' : ' '} ${oneLine(instance)}`,
    leader,
    figures: [fit(oneLine(handled), 16), fit(oneLine(failed), 16), ago(startedAt, now)],
    troubled: failed > 0,
  }));
  const heads = ['handled', 'failed', 'up'];
  const widths = heads.map((head, index) =>
    Math.max(head.length, ...rows.map(({ figures }) => widthOf(figures[index]!))),
  );
  const figuresWidth = widths.reduce((sum, each) => sum + 3 + each, 0);
  const longest = Math.max(title.length, ...rows.map(({ name }) => widthOf(name)));
  const nameWidth = Math.min(longest, width - figuresWidth);
  const right = (figures: readonly string[]) =>
    figures.map((figure, index) => `   ${padStart(figure, widths[index]!)}`);
  return [
    padEnd(title, nameWidth) + paint('dim', right(heads).join('')),
    ...rows.map(({ name, leader, figures, troubled }) => {
      const shown = padEnd(fit(name, nameWidth), nameWidth);
      const [handled, failed, up] = right(figures);
      return `${leader ? paint('green', shown) : shown}${handled}${troubled ? paint('red', failed!) : failed}${up}`;
    }),
  ];
}

function ago(since: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(since)) / 1000));
  if (Number.isNaN(seconds)) return '?';
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
