import { isLoopback } from '../../src/configuration/loopback';

it.each([
  ...['127.0.0.1', '127.8.9.10', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1'],
  ...['localhost', 'LOCALHOST', 'board.localhost'],
])('%s is loopback', (host) => {
  expect(isLoopback(host)).toBe(true);
});

it.each([
  ...['', '0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '127.0.0.256', '127.1', '127.0.0.1.example.org'],
  ...['localhost.example.org', 'notlocalhost', 'fe80::1%lo', '::2'],
])('"%s" is not loopback', (host) => {
  expect(isLoopback(host)).toBe(false);
});
