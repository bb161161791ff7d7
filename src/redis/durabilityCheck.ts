import type { Redis } from 'ioredis';

/** Returns the Redis settings that can lose messages, each with its fix. Sends INFO once, and nothing else. */
export async function findRisks(client: Redis): Promise<string[]> {
  let text: string;
  try {
    text = await client.info();
  } catch {
    return ['this user may not send INFO: the settings of Redis that can lose messages were not checked'];
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
    risks.push(`Redis has version ${version}, expected 6.2 or newer: upgrade it`);
  }
  const policy = info.get('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    risks.push(
      `Redis evicts keys when memory is full (maxmemory-policy ${policy}), and messages with them: set maxmemory-policy noeviction`,
    );
  }
  if (info.get('aof_enabled') === '0') {
    risks.push('Redis keeps no append-only file and loses messages when it stops: set appendonly yes');
  }
  if (Number(info.get('connected_slaves') ?? 0) > 0 && !info.has('min_slaves_good_slaves')) {
    risks.push('a failover of Redis can lose the newest messages: set min-replicas-to-write 1');
  }
  return risks;
}
