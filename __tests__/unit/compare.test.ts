import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

interface Scenario {
  title: string;
  elsewhere: { with: string[] };
  here: { lost?: number; doubled?: number; seconds?: number };
}

const { scenarios } = JSON.parse(readFileSync('compare/results.json', 'utf8')) as { scenarios: Scenario[] };

it('the comparison in the README matches compare/results.json', () => {
  // Load these modules with Node.js instead of Jest.
  const script = `
    import { readFileSync } from 'node:fs';
    import { tableOf, withTable } from './compare/table.mjs';
    const results = JSON.parse(readFileSync('compare/results.json', 'utf8'));
    process.stdout.write(withTable(readFileSync('README.md', 'utf8'), tableOf(results)));`;
  const expected = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  expect(readFileSync('README.md', 'utf8')).toBe(expected);
});

it('the comparison was made with the pinned versions', () => {
  const version = (name: string) =>
    (
      JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')) as { version: string }
    ).version.replace(/^v/, '');
  for (const library of new Set(scenarios.flatMap((scenario) => scenario.elsewhere.with))) {
    const [name, made] = library.split(' ') as [string, string];
    const minor = (text: string) => text.split('.', 2).join('.');
    expect([name, minor(made)]).toEqual([name, minor(version(name))]);
  }
});

it('the comparison shows this program keeping its promises', () => {
  for (const { here } of scenarios) {
    if (here.seconds === undefined) expect(here).toMatchObject({ lost: 0, doubled: 0 });
    else expect(here.seconds).toBeLessThanOrEqual(3);
  }
});
