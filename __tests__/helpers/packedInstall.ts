import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** A project directory with the package installed as it would be published. */
export interface PackedInstall {
  readonly directory: string;
  /** The directory of the package in the project. */
  readonly package: string;
  /** The files of the package, as paths relative to it. */
  readonly files: readonly string[];
  /** The size of the tarball. */
  readonly bytes: number;
  /** Makes another package of the checkout available in the project. */
  link(name: string): void;
  remove(): void;
}

/**
 * Packs the checkout and unpacks it into an empty project. Its dependencies are linked from the checkout, and only
 * those that it declares: this needs no network, and an undeclared dependency is missing.
 */
export function installPacked(): PackedInstall {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'nic-packed-')));
  // Without its scripts, which would rebuild dist/ while other tests use it.
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', directory];
  const output = execFileSync('npm', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const [packed] = JSON.parse(output) as [{ filename: string; size: number; files: { path: string }[] }];

  const modules = join(directory, 'node_modules');
  const name = 'node-instances-communication';
  mkdirSync(join(modules, name), { recursive: true });
  const tarball = join(directory, packed.filename);
  execFileSync('tar', ['-xzf', tarball, '--strip-components=1', '-C', join(modules, name)]);

  const link = (dependency: string) => {
    mkdirSync(dirname(join(modules, dependency)), { recursive: true });
    symlinkSync(resolve('node_modules', dependency), join(modules, dependency), 'junction');
  };
  const manifest = JSON.parse(readFileSync(join(modules, name, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  for (const dependency of Object.keys(manifest.dependencies)) link(dependency);
  return {
    directory,
    package: join(modules, name),
    files: packed.files.map(({ path }) => path),
    bytes: packed.size,
    link,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
