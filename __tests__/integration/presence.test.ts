import type { Redis } from 'ioredis';
import { startProxy } from '../../testkit/proxy.cjs';
import { announce } from '../../src/membership/announcements';
import { presentAmong, showPresence } from '../../src/membership/presence';
import { keysOf } from '../../src/keys';
import { parseRedisUrl } from '../../src/redis/address';
import { RedisConnector } from '../../src/redis/connector';
import { type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

const keys = keysOf('nic');
let redis: RedisServer;
let stopped: AbortController;
let subscriber: Redis | undefined;

beforeEach(async () => {
  redis = await startRedis();
  stopped = new AbortController();
});

afterEach(async () => {
  stopped.abort();
  subscriber?.disconnect();
  await redis.stop();
});

const isPresent = async () => (await presentAmong(redis.client, keys, ['a'])).has('a');

it('a subscription that is never answered after a reconnect is sent again on the next connection', async () => {
  const proxy = await startProxy(redis.port);
  const connector = new RedisConnector({ address: parseRedisUrl(proxy.url), key: keys.meta });
  subscriber = await connector.connect('subscriber');
  await showPresence({
    ...{ control: redis.client, subscriber, keys, instance: 'a', stopped: stopped.signal },
    ...{ onAnnouncement: () => undefined, logger: { warn: () => undefined } },
  });
  subscriber.once('ready', () => proxy.partition('requests'));
  proxy.cut();
  await waitFor(async () => !(await isPresent()), 'the loss');
  // The stalled socket is closed after 2.5 s.
  await new Promise(
    (resolve) => void subscriber!.once('close', () => void subscriber!.once('close', resolve)),
  );
  proxy.heal();
  await waitFor(isPresent, 'the subscription');
  await proxy.close();
});

it('a subscription that Redis refuses after a reconnect is repeated until Redis accepts it', async () => {
  await redis.client.acl('SETUSER', 'app', 'on', '>word', '+@all', 'allkeys', 'allchannels');
  const connector = new RedisConnector({
    address: parseRedisUrl(redis.url.replace('//', '//app:word@')),
    key: keys.meta,
  });
  subscriber = await connector.connect('subscriber');
  const warnings: string[] = [];
  const logger = { warn: (text: string) => void warnings.push(text) };
  const heard: string[] = [];
  await showPresence({
    ...{ control: redis.client, subscriber, keys, instance: 'a', stopped: stopped.signal, logger },
    onAnnouncement: ({ event }) => void heard.push(event),
  });

  // Redis closes the connections of a user who loses channels.
  await redis.client.acl('SETUSER', 'app', 'resetchannels');
  await waitFor(() => warnings.length > 0, 'the refusal');
  expect(await isPresent()).toBe(false);
  await redis.client.acl('SETUSER', 'app', 'allchannels');
  await waitFor(isPresent, 'the subscription');
  await announce(redis.client, keys, { event: 'pause', who: 'b', role: '*' });
  await waitFor(() => heard.length > 0, 'the announcement');
  expect(heard).toEqual(['pause']);
  expect(warnings).toEqual([
    'Redis refused the subscription: the other instances cannot see this one until Redis accepts it',
  ]);
});
