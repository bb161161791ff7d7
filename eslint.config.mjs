import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import globals from 'globals';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  // The example project has a build of its own, and imports the package by its name: a test compiles it.
  { ignores: ['**/dist/', 'coverage/', '**/node_modules/', 'examples/embedded/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': 'off',
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    // Only the doors read the environment, and only main.ts ends the process: see docs/architecture.md.
    files: ['src/**/*.ts'],
    ignores: ['src/index.ts', 'src/main.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        {
          object: 'process',
          property: 'env',
          message: 'Only main.ts and index.ts read the environment; take a Config.',
        },
        { object: 'process', property: 'exit', message: 'Only main.ts ends the process.' },
      ],
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    languageOptions: { globals: globals.node },
    rules: { 'no-console': 'off' },
  },
  {
    // The live view's page runs in a browser, as it stands there.
    files: ['src/web/live/*.js', '__tests__/fixtures/pageModules.mjs'],
    languageOptions: { globals: globals.browser },
    rules: { 'no-console': 'error' },
  },
  prettier,
);
