import type { Config } from '../configuration/config';
import { AppError } from '../errors';
import { type GroupSource, type GroupState, readGroup } from '../group/read';
import type { Pause } from '../generating/pause';
import { type OperatedGroup, type Pausable, pauseGroup, resumeGroup } from '../operating/pause';
import { namedSources, pickSource } from '../operating/sources';
import { whoAmI } from '../operating/whoAmI';
import { printable } from '../terminal/printable';
import type { Terminal } from './terminal';

interface Request {
  readonly what: Pausable;
  readonly source?: string | undefined;
}

/** Pauses, and prints what is paused then. */
export async function pause(
  group: OperatedGroup,
  config: Pick<Config, 'sources'>,
  request: Request,
  { tell }: Pick<Terminal, 'tell'>,
): Promise<void> {
  await checkSource('pause', group, config, request);
  await pauseGroup(group, { ...request, by: whoAmI() });
  tell(describePauses(await readGroup(group)).join('\n'));
}

/** Resumes, and prints what was resumed. */
export async function resume(
  group: OperatedGroup,
  config: Pick<Config, 'sources'>,
  request: Request,
  { tell }: Pick<Terminal, 'tell'>,
): Promise<void> {
  await checkSource('resume', group, config, request);
  const resumed = await resumeGroup(group, { ...request, by: whoAmI() });
  const { generating } = (await readGroup(group)).paused;
  if (request.source !== undefined && generating !== undefined) {
    throw new AppError(
      `generating of all sources is paused${since(generating)}; "resume generating" without --source continues it`,
      1,
    );
  }
  tell(printable(resumed.length === 0 ? 'nothing was paused' : `resumed: ${resumed.join(', ')}`));
}

/** Returns one line for each pause. */
export function describePauses({ paused, sources }: Pick<GroupState, 'paused' | 'sources'>): string[] {
  const { generating, handling } = paused;
  const lines = generating === undefined ? [] : [`generating is paused${since(generating)}`];
  for (const { role, pause } of sources) {
    if (generating === undefined && pause !== undefined)
      lines.push(`generating of source ${role.source} is paused${since(pause)}`);
  }
  if (handling !== undefined) lines.push(`handling is paused${since(handling)}`);
  return lines.map((line) => printable(`${line}; "resume" continues it`));
}

function since({ by, since: at }: Pause): string {
  return `${at === undefined ? '' : ` since ${at}`}${by === undefined ? '' : ` by ${by}`}`;
}

async function checkSource(
  command: string,
  group: GroupSource,
  config: Pick<Config, 'sources'>,
  { what, source }: Request,
): Promise<void> {
  if (source === undefined) return;
  if (what !== 'generating') {
    throw new AppError(
      `${command} got ${what} and --source, expected generating: only generating has sources`,
      2,
    );
  }
  pickSource(namedSources(await readGroup(group), config.sources), source);
}
