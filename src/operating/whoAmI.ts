import { hostname, userInfo } from 'node:os';

/** Returns who runs this command, as `user@host`, for the group's history. */
export function whoAmI(): string {
  return `${userName()}@${hostname()}`.replace(/\s/g, '_');
}

/** A container can run as a user that has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid-${process.getuid?.() ?? 'unknown'}`;
  }
}
