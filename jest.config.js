/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/__tests__'],
  testMatch: ['**/*.test.ts'],
  transform: { '^.+\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.json', diagnostics: false }] },
  globalSetup: '<rootDir>/__tests__/helpers/globalSetup.ts',
  // Real servers and real processes, which often wait: three at a time is what two cores carry.
  maxWorkers: 3,
  testTimeout: 60_000,
};
