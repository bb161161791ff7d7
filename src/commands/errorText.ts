import { dirname } from 'node:path';
import type { ErrorDetails } from '../errorLog/record';
import { framesOf } from '../terminal/errorLines';

const OWN_CODE = dirname(__dirname);

/** Returns the first frame in the task's own code: not in Node.js, a package or this program. */
export function taskFrame(error: ErrorDetails): string | undefined {
  return framesOf(error).find(
    (frame) =>
      !/\(?node:|[\\/]node_modules[\\/]|<anonymous>\)?$|\(native\)/.test(frame) && !frame.includes(OWN_CODE),
  );
}
