import type { Config } from '../configuration/config';
import { type GroupSource, readGroup } from '../group/read';
import { handOver } from '../operating/handOver';
import { namedSources, pickSource } from '../operating/sources';
import { whoAmI } from '../operating/whoAmI';
import { printable } from '../terminal/printable';
import type { Terminal } from './terminal';

/** Hands the generator over and prints the new leader. */
export async function handOverTo(
  group: GroupSource,
  config: Pick<Config, 'sources'>,
  { to, source: wanted }: { to?: string | undefined; source?: string | undefined },
  { write }: Pick<Terminal, 'write'>,
): Promise<void> {
  const source = pickSource(namedSources(await readGroup(group), config.sources), wanted);
  const { instance, term } = await handOver(group, { to, source, by: whoAmI() });
  const what = source === undefined ? 'the generator' : `the generator of source ${source}`;
  await write(printable(`${instance} is ${what} now, term ${term}\n`));
}
