import { AppError } from '../errors';
import type { GroupSource } from '../group/read';
import { isEligible, type Member } from '../leadership/placement';
import { generatorRole } from '../leadership/role';
import { type LeaderRecord, readLeader } from '../leadership/term';
import { announce } from '../membership/announcements';
import { livingInstances } from '../membership/registry';
import { sleep } from '../time';

export interface HandOverRequest {
  /** Name of the source; undefined without named sources. */
  readonly source?: string | undefined;
  /** The instance that should lead; undefined: any eligible instance. */
  readonly to?: string | undefined;
  /** Who requests it: `user@host`. */
  readonly by: string;
}

const POLL_INTERVAL_MS = 5;
/** Longest wait for another leader, in milliseconds: commands give up within five seconds. */
const DEADLINE_MS = 4000;

/**
 * Asks the generator to hand over, and resolves with the new leader.
 *
 * @throws AppError (exit code 1) if there is no leader, if no other instance can lead, or if it takes longer than 4 s
 */
export async function handOver(
  { client, keys, leases }: Pick<GroupSource, 'client' | 'keys' | 'leases'>,
  { source, to, by }: HandOverRequest,
): Promise<LeaderRecord> {
  const role = generatorRole(keys, source);
  const what = source === undefined ? 'the generator' : `the generator of source ${source}`;
  const [before, [secret], living] = await Promise.all([
    readLeader(client, role.keys),
    leases.holders([role.keys.lease]),
    livingInstances(client, keys),
  ]);
  if (before === undefined || secret === undefined) {
    throw new AppError(`no instance is ${what} now; start an instance that can generate`, 1);
  }
  if (before.instance === to) return before;
  const able = living
    .map(({ instance, startedAt, generates, sources }): Member => ({
      instance,
      startedAt,
      generates,
      sources,
      roles: [],
    }))
    .filter((member) => member.instance !== before.instance && isEligible(member, role))
    .map(({ instance }) => instance);
  if (to === undefined ? able.length === 0 : !able.includes(to))
    throw new AppError(nobodyElse(to, before, able), 1);
  await announce(client, keys, { event: 'handover', who: by, role: role.id, successor: to });
  for (const deadline = performance.now() + DEADLINE_MS; performance.now() < deadline;) {
    await sleep(POLL_INTERVAL_MS, NEVER);
    const leader = await readLeader(client, role.keys);
    if (leader === undefined || leader.term === before.term) continue;
    if (leader.instance === (to ?? leader.instance) && leader.instance !== before.instance) return leader;
    throw new AppError(`${leader.instance} is ${what} now, expected ${to ?? 'another instance'}`, 1);
  }
  throw new AppError(
    `${before.instance} has not handed over within ${DEADLINE_MS / 1000} s; look at its log`,
    1,
  );
}

const NEVER = new AbortController().signal;

function nobodyElse(to: string | undefined, before: LeaderRecord, able: readonly string[]): string {
  const still = `${before.instance} still leads`;
  if (able.length === 0) return `no other living instance can generate (CAN_GENERATE); ${still}`;
  return `instance ${JSON.stringify(to)} is not alive or cannot generate; ${still}; expected one of ${able.join(', ')}`;
}
