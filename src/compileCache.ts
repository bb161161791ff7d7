/*
 * Imported first, for its effect: from the second start on, V8 need not compile again what was compiled before, which
 * is most of what a start takes. Node.js has this from 22.8 on. The cache is in NODE_COMPILE_CACHE, or else in the
 * directory for temporary files; where it cannot be written, or NODE_DISABLE_COMPILE_CACHE is set, nothing is cached.
 */
import * as nodeModule from 'node:module';

(nodeModule as { enableCompileCache?: () => unknown }).enableCompileCache?.();
