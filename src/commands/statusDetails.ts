/*
 * The details of the status besides its counts: the keeper, pauses, failures, sources, and problems of instances. Each
 * function returns lines, or none if there is nothing to report.
 */
import type { GroupState } from '../group/read';
import type { KnownInstance } from '../membership/registry';
import { redact } from '../redis/address';
import type { Status } from '../instance/shapes';
import type { Paint } from '../terminal/colors';
import { fit, oneLine, padEnd, padStart, widthOf } from '../terminal/columns';
import { framesOf } from '../terminal/errorLines';

export interface Drawing {
  /** Columns. */
  readonly width: number;
  readonly paint: Paint;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Number of columns before the text. */
const MARGIN = 11;
const MAX_FRAMES = 3;
/** How long a failure is still shown after another instance has taken over: that instance might fail as well. */
const FAILURE_SHOWN_MS = 60_000;

export function keeperLines({ keeper }: Status, { width, paint, now }: Drawing): string[] {
  if (keeper === null) return [`keeper     ${paint('red', 'none')}`];
  const end = `, term ${oneLine(keeper.term)}, for ${ago(keeper.since, now)}`;
  return [`keeper     ${fit(oneLine(keeper.instance), width - MARGIN - widthOf(end))}${end}`];
}

export function pauseLines({ paused, sources }: GroupState, { width, paint, now }: Drawing): string[] {
  const pauses = [
    { what: 'generating', pause: paused.generating },
    { what: 'handling', pause: paused.handling },
    ...(paused.generating === undefined
      ? sources.map(({ role, pause }) => ({ what: `source ${role.source}`, pause }))
      : []),
  ];
  return pauses.flatMap(({ what, pause }, index) => {
    if (pause === undefined) return [];
    const since = pause.since === undefined ? '' : `, for ${ago(pause.since, now)}`;
    const by = pause.by === undefined ? '' : `, by ${oneLine(pause.by)}`;
    const first = pauses.findIndex((each) => each.pause !== undefined) === index;
    const text = fit(`${oneLine(what)}${since}${by}`, width - MARGIN);
    return [`${first ? 'paused     ' : ' '.repeat(MARGIN)}${paint('yellow', text)}`];
  });
}

/** Reports that no living instance can generate. */
export function eligibilityLines(living: readonly KnownInstance[], { paint }: Drawing): string[] {
  if (living.length === 0 || living.some(({ generates }) => generates)) return [];
  return [paint('red', 'no living instance can generate (CAN_GENERATE, or no generate)')];
}

/** The last failure of each role, unless another instance has since succeeded. */
export function failureLines(group: GroupState, drawing: Drawing): string[] {
  const { width, paint, now } = drawing;
  return [group.keeper, ...group.sources].flatMap(({ role, leader }) => {
    const reports = group.instances.flatMap(({ instance, state, roles = [] }) =>
      state === 'dead'
        ? []
        : roles.filter((each) => each.role === role.id).map(({ failure }) => ({ instance, failure })),
    );
    const failing = reports.filter(({ failure }) => failure !== undefined);
    const last = failing.sort((a, b) => b.failure!.retryAt - a.failure!.retryAt)[0];
    if (last?.failure === undefined) return [];
    const recovered = leader !== undefined && !failing.some(({ instance }) => instance === leader.instance);
    if (recovered && group.now - Date.parse(leader.since) > FAILURE_SHOWN_MS) return [];
    const { name, message, stack, since, retryAt } = last.failure;
    const retry = retryAt > now ? `, next attempt in ${ago(new Date(now), retryAt)}` : '';
    const head = `${oneLine(role.id)} failed, for ${ago(new Date(since), now)}${retry}, on `;
    const room = width - MARGIN;
    const text = [
      fit(`${head}${oneLine(last.instance)}`, room),
      fit(oneLine(redact(`${name}: ${message}`)), room),
      ...framesOf({ message, stack }).map((frame) => fit(`  ${oneLine(redact(frame))}`, room)),
    ].slice(0, 2 + MAX_FRAMES);
    return text.map(
      (line, index) => `${index === 0 ? 'failing    ' : ' '.repeat(MARGIN)}${paint('red', line)}`,
    );
  });
}

/** The named sources. */
export function sourceLines({ sources }: Status, { width, paint }: Drawing): string[] {
  if (sources.every(({ source }) => source === null)) return [];
  const rows = sources.map(({ source, generated, leader, state }) => ({
    cells: [oneLine(generated), leader === null ? '-' : oneLine(leader.term), state],
    name: `  ${oneLine(source)}`,
    leader: leader === null ? '-' : oneLine(leader.instance),
    troubled: state === 'failed' || state === 'vacant',
  }));
  const heads = ['generated', 'term', 'state'];
  const widths = heads.map((head, index) =>
    Math.max(head.length, ...rows.map(({ cells }) => Math.min(widthOf(cells[index]!), 12))),
  );
  const title = `sources    ${sources.length}`;
  const cellsWidth = widths.reduce((sum, each) => sum + 3 + each, 0);
  const left = width - cellsWidth - 3;
  const longest = Math.max(title.length, ...rows.map(({ name }) => widthOf(name)));
  const nameWidth = Math.min(longest, Math.floor(left / 2));
  const inCells = (cells: readonly string[]) =>
    cells.map((cell, index) => {
      const text = fit(cell, widths[index]!);
      return `   ${index === 2 ? padEnd(text, widths[index]!) : padStart(text, widths[index]!)}`;
    });
  return [
    padEnd(title, nameWidth) + paint('dim', `${inCells(heads).join('')}   generator`),
    ...rows.map(({ name, cells, leader, troubled }) => {
      const [generated, term, state] = inCells(cells);
      const shown = padEnd(fit(name, nameWidth), nameWidth);
      const end = fit(leader, left - nameWidth);
      return `${shown}${generated}${term}${troubled ? paint('red', state!) : state}   ${end}`;
    }),
    '',
  ];
}

/** The problems of an instance. */
export function troubleLines({ slow = 0, stalled = [] }: KnownInstance, { width, paint }: Drawing): string[] {
  const slowText = slow > 0 ? [`${slow} unusually slow ${slow === 1 ? 'message' : 'messages'}`] : [];
  const stalledText = stalled.length > 0 ? [`no progress: ${stalled.map(oneLine).join(', ')}`] : [];
  const text = [...slowText, ...stalledText].join('; ');
  return text === '' ? [] : [`      ${paint('yellow', fit(text, width - 6))}`];
}

/** The time from `since` to `now`, in one unit. */
export function ago(since: string | Date, now: number): string {
  const seconds = Math.max(0, Math.round((now - new Date(since).getTime()) / 1000));
  if (Number.isNaN(seconds)) return '?';
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
