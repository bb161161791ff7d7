import { JOB_LOCK_MS } from '../world.mjs';

/** From below to above every timeout in the program, in milliseconds. */
export const ANY_LENGTH = [200, 12_000];

/** A lock is renewed at half its duration; a shorter fault, with a margin of half a second, costs no lock. */
export const outlastsLock = (ms) => ms > JOB_LOCK_MS / 2 - 500;

/** How long others take to declare an instance without connections dead; the two cases look the same. */
export const looksDead = (ms) => ms > 1500;
