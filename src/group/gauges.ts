import type { GroupState } from './read';

/** The state of the whole group as a few numbers. */
export interface Gauges {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  /** Number of error records. */
  readonly errors: number;
  /** Whether generation, and handling, is paused for the whole group. */
  readonly paused: { readonly generating: boolean; readonly handling: boolean };
  /** The source's name; empty without named sources. */
  readonly sources: readonly {
    readonly source: string;
    /** Number of messages ever committed. */
    readonly generated: number;
    /** Number of the newest term; 0 before the first. */
    readonly term: number;
    readonly state: string;
  }[];
}

export function toGauges({ messages, paused, sources, errors }: GroupState): Gauges {
  const { waiting, active, delayed } = messages;
  return {
    ...{ waiting, active, delayed, errors },
    paused: { generating: paused.generating !== undefined, handling: paused.handling !== undefined },
    sources: sources.map(({ role, generated, record, state }) => {
      return { source: role.source ?? '', generated, term: record?.term ?? 0, state };
    }),
  };
}
