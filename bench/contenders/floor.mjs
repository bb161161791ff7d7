// The minimum cost of a message with one script call: an empty EVALSHA round trip over one connection.
import { Redis } from 'ioredis';

export async function fill() {}

export async function handle({ port, concurrency }, tick) {
  const client = new Redis(port);
  const sha = await client.script('LOAD', 'return 1');
  const loops = Array.from({ length: concurrency }, async () => {
    for (;;) {
      await client.evalsha(sha, 0);
      tick();
    }
  });
  await Promise.all(loops);
}
