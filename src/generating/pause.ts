import * as v from 'valibot';

const pause = v.object({ by: v.optional(v.string()), since: v.optional(v.string()) });

/** Since when (ISO 8601) something is paused, and by whom, as far as that is known. */
export type Pause = Readonly<v.InferOutput<typeof pause>>;

/** Undefined where nothing is paused. Whatever is stored there pauses. */
export function parsePause(json: string | undefined): Pause | undefined {
  if (json === undefined) return undefined;
  try {
    const parsed = v.safeParse(pause, JSON.parse(json));
    return parsed.success ? parsed.output : {};
  } catch {
    return {};
  }
}
