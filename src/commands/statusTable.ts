import type { GroupState } from '../group/read';
import { toStatus } from '../group/status';
import type { KnownInstance } from '../membership/registry';
import type { Status } from '../instance/shapes';
import { type Paint, plain } from '../terminal/colors';
import { fit, oneLine, padEnd, padStart, widthOf } from '../terminal/columns';
import {
  ago,
  type Drawing,
  eligibilityLines,
  failureLines,
  keeperLines,
  pauseLines,
  sourceLines,
  troubleLines,
} from './statusDetails';

export interface TableOptions {
  /** Maximum line width in columns, however long the names are. */
  readonly width?: number;
  readonly paint?: Paint;
  /** Milliseconds since 1970. */
  readonly now?: number;
}

const MAX_WIDTH = 80;
/** The numbers need at least this many columns. */
const MIN_WIDTH = 60;

/** Formats the state of the group as a table for people. */
export function formatStatus(group: GroupState, options: TableOptions = {}): string {
  const { paint = plain, now = Date.now() } = options;
  const width = Math.max(Math.min(options.width ?? MAX_WIDTH, MAX_WIDTH), MIN_WIDTH);
  const drawing = { paint, now, width };
  const status = toStatus(group);
  const living = group.instances.filter(({ state }) => state === 'alive');
  const { messages, errors } = status;
  const failed = `${messages.failed} failed`;
  return [
    titleOf(status, drawing),
    ...eligibilityLines(living, drawing),
    ...keeperLines(status, drawing),
    ...pauseLines(group, drawing),
    '',
    `messages   ${messages.generated} generated`,
    `           ${messages.waiting} waiting   ${messages.active} active   ${messages.delayed} delayed`,
    `           ${messages.completed} completed   ${messages.failed > 0 ? paint('red', failed) : failed}`,
    `errors     ${errors > 0 ? `${paint('red', String(errors))}   (getErrors prints them)` : errors}`,
    ...failureLines(group, drawing),
    '',
    ...sourceLines(status, drawing),
    ...tableOf(status, living, drawing),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function titleOf(status: Status, { width, paint, now }: Drawing): string {
  const { namespace, leader, instances, sources } = status;
  const group = oneLine(namespace);
  if (sources.some(({ source }) => source !== null)) {
    const led = sources.filter((each) => each.leader !== null).length;
    const text = `: ${led} of ${sources.length} sources have a generator`;
    return fit(group, width - text.length) + (led < sources.length ? paint('red', text) : text);
  }
  if (leader === null) {
    const text = ': no generator';
    return fit(group, width - text.length) + paint('red', text);
  }
  // A killed leader still holds the lease until the lease expires or a follower evicts it.
  const lives = instances.some((each) => each.leader);
  const start = lives ? ': generator ' : ': no generator, ';
  const end = lives ? `, term ${oneLine(leader.term)}, for ${ago(leader.since, now)}` : ' is gone';
  const room = width - start.length - end.length;
  const name = oneLine(leader.instance);
  // The namespace gets a third of the space, plus whatever the name does not need.
  const fitted = fit(group, Math.max(Math.floor(room / 3), room - widthOf(name)));
  const shownName = fit(name, room - widthOf(fitted));
  return lives
    ? `${fitted}${start}${paint('green', shownName)}${end}`
    : fitted + paint('red', `${start}${shownName}${end}`);
}

function tableOf({ instances }: Status, living: readonly KnownInstance[], drawing: Drawing): string[] {
  const { width, paint, now } = drawing;
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
    ...rows.flatMap(({ name, leader, figures, troubled }, index) => {
      const shown = padEnd(fit(name, nameWidth), nameWidth);
      const [handled, failed, up] = right(figures);
      const row = `${leader ? paint('green', shown) : shown}${handled}${troubled ? paint('red', failed!) : failed}${up}`;
      return [row, ...troubleLines(living[index]!, drawing)];
    }),
  ];
}
