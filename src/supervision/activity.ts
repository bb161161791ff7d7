/** What a background activity gets: it loops until the signal aborts, and reports each time it got something done. */
export interface Activity {
  readonly signal: AbortSignal;
  readonly progress: () => void;
}
