import { AppError, toError } from '../errors';
import { liveInstances, removeKeys } from '../operating/destroy';
import { printable } from '../terminal/printable';
import type { Access, Terminal } from './terminal';

/**
 * Removes a namespace after the user has typed its name.
 *
 * @param confirmed the name as given with --yes
 * @throws AppError with exit code 1 if instances are alive or another name was typed, 2 if there is no terminal to ask
 * on
 */
export async function destroy(
  access: Pick<Access, 'client' | 'keys' | 'namespace' | 'openLeaseNodes'>,
  confirmed: string | undefined,
  { ask, tell }: Pick<Terminal, 'ask' | 'tell'>,
): Promise<void> {
  const { client, keys, namespace } = access;
  if (confirmed !== undefined && confirmed !== namespace) {
    throw new AppError(
      `--yes is ${JSON.stringify(confirmed)}, expected the namespace, ${JSON.stringify(namespace)}`,
      2,
    );
  }
  if (confirmed === undefined && ask === undefined) {
    throw new AppError('destroy got no --yes and no terminal to ask on, expected --yes <namespace>', 2);
  }
  await refuseIfAlive(access);
  if (confirmed === undefined) {
    const typed = await ask!(`Type ${namespace} to remove all its messages, cursors and errors: `);
    if (typed !== namespace) throw new AppError('a different name was typed; nothing was removed', 1);
    await refuseIfAlive(access);
  }
  const removed = await removeKeys(client, keys);
  for (const node of await access.openLeaseNodes()) {
    await removeKeys(node, keys).catch((error: unknown) =>
      tell(
        printable(`a lease node was not cleaned: ${toError(error).message}; its leases expire by themselves`),
      ),
    );
  }
  tell(printable(`removed the namespace ${JSON.stringify(namespace)}: ${removed} keys`));
}

async function refuseIfAlive({ client, keys }: Pick<Access, 'client' | 'keys'>): Promise<void> {
  const alive = await liveInstances(client, keys);
  if (alive.length === 0) return;
  throw new AppError(
    `${alive.length} instances are alive (${alive.join(', ')}); stop them first; nothing was removed`,
    1,
  );
}
