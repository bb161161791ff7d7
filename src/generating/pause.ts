import * as v from 'valibot';

const pause = v.object({ by: v.optional(v.string()), since: v.optional(v.string()) });

/** When (ISO 8601) a pause began, and who started it, as far as known. */
export type Pause = Readonly<v.InferOutput<typeof pause>>;

/** Returns undefined if nothing is paused. Any stored value counts as a pause. */
export function parsePause(json: string | undefined): Pause | undefined {
  if (json === undefined) return undefined;
  try {
    const parsed = v.safeParse(pause, JSON.parse(json));
    return parsed.success ? parsed.output : {};
  } catch {
    return {};
  }
}
