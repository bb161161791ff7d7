import type { Redis } from 'ioredis';

/**
 * What this Redis is set to do that messages may be lost by: a sentence for each, with the remedy. From INFO alone, which
 * is asked for once.
 */
export async function findRisks(client: Redis): Promise<string[]> {
  let text: string;
  try {
    text = await client.info();
  } catch {
    return ['this user may not ask Redis for INFO: whether it keeps what it is given was not checked'];
  }
  const info = new Map(
    text.split(/\r?\n/).flatMap((line) => {
      const colon = line.indexOf(':');
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : [];
    }),
  );
  const risks: string[] = [];
  const version = info.get('redis_version') ?? '';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (version !== '' && (major < 6 || (major === 6 && minor < 2))) {
    risks.push(`Redis is of version ${version}, expected 6.2 or newer: update it`);
  }
  const policy = info.get('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    risks.push(
      `Redis evicts (maxmemory-policy ${policy}) and so drops messages: set maxmemory-policy noeviction`,
    );
  }
  if (info.get('aof_enabled') === '0') {
    risks.push('Redis keeps no append-only file, and loses messages when it ends: set appendonly yes');
  }
  if (Number(info.get('connected_slaves') ?? 0) > 0 && !info.has('min_slaves_good_slaves')) {
    risks.push('a failover of Redis may lose the last messages: set min-replicas-to-write 1');
  }
  return risks;
}
