import { examplesFor, namespacePrefix, nextSteps, programName } from '../../src/terminal/invocation';

describe('the name of the program in hints', () => {
  it.each([
    ['/srv/checkout/dist/main.js', undefined, 'npm start --'],
    ['/srv/checkout/dist/main.js', '/usr/lib/npm-cli.js', 'npm start --'],
    ['/usr/bin/node-instances-communication', undefined, 'node-instances-communication'],
    [
      '/srv/app/node_modules/.bin/node-instances-communication',
      '/usr/lib/npm-cli.js',
      'npx node-instances-communication',
    ],
    // On Windows, a launcher runs the file itself.
    [
      '/srv/app/node_modules/node-instances-communication/dist/main.js',
      undefined,
      'node-instances-communication',
    ],
  ])('%s, started by npm %s: %s', (script, npm, name) => {
    expect(programName({ script, npm })).toBe(name);
  });
});

describe('the namespace in hints', () => {
  it.each([
    ['nic', ''],
    ['squares', 'NAMESPACE=squares '],
    ['a&b', "NAMESPACE='a&b' "],
    ["it's", "NAMESPACE='it'\\''s' "],
  ])('%s: "%s"', (namespace, prefix) => {
    expect(namespacePrefix(namespace)).toBe(prefix);
  });

  it('is part of the commands that a starting instance prints', () => {
    expect(nextSteps('npm start --', 'squares')).toContain(
      '    NAMESPACE=squares npm start -- status       shows',
    );
  });
});

it('the examples in the help can be copied and run', () => {
  const help = examplesFor('npx node-instances-communication');
  expect(help).not.toContain('npm start');
  expect(help).not.toContain(' -- ');
  expect(help).toMatch(/^ {2}npx node-instances-communication getErrors --json \| jq \. {3}failed messages/m);
  expect(examplesFor('npm start --')).toMatch(
    /^ {2}npm start -s -- getErrors --json \| jq \. {3}failed messages/m,
  );
});
