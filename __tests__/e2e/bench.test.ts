import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

interface Report {
  machine: Record<string, string>;
  options: { only: string[]; rounds: number; messages: number };
  targets: { what: string; id: string; measured?: number; met?: boolean }[];
  tables: {
    title: string;
    figures: { id: string; unit: string; values: number[]; median: number; low: number; high: number }[];
  }[];
}

async function bench(...args: string[]) {
  const child = spawn(process.execPath, ['bench/run.mjs', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { code: child.exitCode, stdout, stderr };
}

it('a small run measures, compares with the targets, and fills in the document', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'nic-bench-'));
  const [json, markdown] = [join(directory, 'report.json'), join(directory, 'report.md')];
  writeFileSync(markdown, 'before\n<!-- table -->\nold\n<!-- /table -->\nafter\n');
  try {
    const small = ['--quick', '--messages', '1000', '--only', 'million,commands'];
    const { code, stdout, stderr } = await bench(...small, '--json', json, '--markdown', markdown);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) as string });

    const report = JSON.parse(readFileSync(json, 'utf8')) as Report;
    expect(report.options).toMatchObject({ only: ['million', 'commands'], rounds: 1, messages: 1000 });
    expect(Object.keys(report.machine)).toEqual(
      expect.arrayContaining(['processor', 'memory', 'node', 'redis']),
    );
    const figures = report.tables.flatMap((table) => table.figures);
    for (const { values, median, low, high } of figures) {
      expect(
        [median, low, high].every((value) => Number.isFinite(value) && low <= value && value <= high),
      ).toBe(true);
      expect(values.length).toBeGreaterThan(0);
    }
    expect(figures.find(({ id }) => id === 'million.errors')).toMatchObject({ median: 10 });
    const judged = report.targets.filter(({ measured }) => measured !== undefined);
    expect(judged.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['million.instances', 'commands.help', 'commands.many.first']),
    );
    expect(judged.every(({ met }) => typeof met === 'boolean')).toBe(true);
    // What was not measured is not judged either.
    expect(report.targets.find(({ id }) => id === 'handling.1.leaderOfTwo')).not.toHaveProperty('met');

    expect(stdout).toContain('### The million');
    const filled = readFileSync(markdown, 'utf8');
    expect(filled).toContain(stdout.trim());
    expect(filled).not.toContain('old');
    expect(filled).toMatch(/^before\n[^]*\nafter\n$/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);

it('an unknown section ends the benchmark before anything is started', async () => {
  const { code, stdout, stderr } = await bench('--only', 'million,speed');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error: --only names speed, expected some of .*million/);
});
