import { dirname } from 'node:path';
import type { ErrorDetails } from '../errorLog/record';
import { framesOf } from '../terminal/errorLines';

const OWN_CODE = dirname(__dirname);

/** The first frame of the task's own code: not of Node.js, of a package or of this program. */
export function taskFrame(error: ErrorDetails): string | undefined {
  return framesOf(error).find(
    (frame) =>
      !/\(?node:|[\\/]node_modules[\\/]|<anonymous>\)?$|\(native\)/.test(frame) && !frame.includes(OWN_CODE),
  );
}
