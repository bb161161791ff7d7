import * as v from 'valibot';

const count = v.pipe(v.number(), v.finite(), v.minValue(0));

/** A role as one instance reports it. */
const roleReport = v.object({
  /** Id of the role. */
  role: v.string(),
  /** The term that it leads; absent if it does not lead. */
  term: v.optional(v.number()),
  state: v.picklist(['leading', 'generating', 'finished', 'paused', 'failed']),
  /** Why its last term failed. */
  failure: v.optional(
    v.object({
      name: v.string(),
      message: v.string(),
      stack: v.string(),
      /** Milliseconds since 1970: when it first failed, and when it is retried. */
      since: v.number(),
      retryAt: v.number(),
    }),
  ),
});

/** What an instance reports about itself; stored as JSON. */
const instanceReport = v.object({
  host: v.string(),
  pid: v.number(),
  /** ISO 8601. */
  startedAt: v.pipe(
    v.string(),
    v.check((text) => !Number.isNaN(Date.parse(text))),
  ),
  /** Messages that this instance has completed, and messages that finally failed on it. */
  handled: v.fallback(count, 0),
  failed: v.fallback(count, 0),
  /** Whether it can become a generator. */
  generates: v.fallback(v.boolean(), true),
  /** The named sources that it campaigns for; absent without named sources. */
  sources: v.optional(v.fallback(v.array(v.string()), [])),
  /** The state of the roles that it campaigns for. */
  roles: v.optional(v.fallback(v.array(roleReport), [])),
  /** Names of its stalled background activities. */
  stalled: v.optional(v.fallback(v.array(v.string()), [])),
  /** Messages that have been active for an unusually long time. */
  slow: v.optional(v.fallback(count, 0)),
  /** Address of its board, if it has one. */
  board: v.fallback(v.optional(v.object({ host: v.string(), port: v.number() })), undefined),
});

const storedReport = v.object({ ...instanceReport.entries, seen: v.number() });

export type RoleReport = v.InferOutput<typeof roleReport>;
export type InstanceReport = v.InferInput<typeof instanceReport>;

/** A report as it is stored, with the time on Redis's clock when it was sent, in milliseconds since 1970. */
export type StoredReport = v.InferOutput<typeof storedReport>;

/** Returns undefined for an invalid report; data in Redis is untrusted. */
export function parseReport(json: string): StoredReport | undefined {
  try {
    const parsed = v.safeParse(storedReport, JSON.parse(json));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
