import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Licenses that only require attribution. */
const FINE = [
  'MIT',
  'ISC',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'Unlicense',
];

interface Locked {
  dev?: boolean;
  devOptional?: boolean;
  link?: boolean;
  license?: string;
}

const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  packages: Record<string, Locked>;
};
/** Returns the production dependencies by their place in node_modules. */
const production = Object.entries(packages).filter(
  ([place, { dev, devOptional }]) => place !== '' && !dev && !devOptional,
);

it('every package that is installed with this one has a license that is at least as permissive', () => {
  expect(production.length).toBeGreaterThan(20);
  const others = production
    .map(([place, locked]) => [place, licenceOf(place) ?? locked.license] as const)
    .filter(([, licence]) => licence === undefined || !isFine(licence));
  expect(others).toEqual([]);
});

it('a license expression is accepted if one alternative is, and all parts of it are', () => {
  const answers = [
    'MIT',
    '(MIT OR GPL-3.0)',
    'MIT AND GPL-3.0',
    '(MIT AND Apache-2.0)',
    'GPL-3.0',
    'UNLICENSED',
    'SEE LICENSE IN x',
  ];
  expect(answers.map(isFine)).toEqual([true, true, false, true, false, false, false]);
});

/** Returns the license that the package declares; undefined if it is for another platform and not installed. */
function licenceOf(place: string): string | undefined {
  const file = join(place, 'package.json');
  if (!existsSync(file)) return undefined;
  const { license } = JSON.parse(readFileSync(file, 'utf8')) as { license?: string | { type: string } };
  return typeof license === 'object' ? license.type : license;
}

/** Supports expressions with only AND or only OR; no others occur. */
function isFine(expression: string): boolean {
  const names = expression.replace(/^\((.*)\)$/, '$1');
  if (names.includes(' OR ')) return names.split(' OR ').some((name) => FINE.includes(name));
  return names.split(' AND ').every((name) => FINE.includes(name));
}
