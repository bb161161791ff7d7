import { JOB_LOCK_MS } from '../world.mjs';

/** From below to above every time-out in the program, in milliseconds. */
export const ANY_LENGTH = [200, 12_000];

/** A lock is renewed at half its time; what ends sooner than that, with half a second to spare, costs nobody a lock. */
export const outlastsLock = (ms) => ms > JOB_LOCK_MS / 2 - 500;

/** As long as others need to take somebody without any connection for dead: nothing tells the one from the other. */
export const looksDead = (ms) => ms > 1500;
