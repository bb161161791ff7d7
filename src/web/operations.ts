export const PAUSABLE = ['generating', 'handling', 'all'] as const;
export type Pausable = (typeof PAUSABLE)[number];

/** Where a source stands: its cursor as JSON (undefined before the first commit), and its count. */
export interface SourcePosition {
  readonly cursorJson: string | undefined;
  readonly generated: number;
}

/** What can be done to a running group. Each rejects with an AppError that says why it could not be done. */
export interface Operations {
  /** @param source only this source; undefined: all */
  pause(what: Pausable, source: string | undefined, by: string): Promise<void>;
  resume(what: Pausable, source: string | undefined, by: string): Promise<void>;
  position(source: string | undefined): Promise<SourcePosition>;
  /** Resolves with the cursor that it replaced, as JSON. */
  setCursor(change: {
    readonly source: string | undefined;
    /** Undefined: the cursor is forgotten. */
    readonly cursorJson: string | undefined;
    /** The cursor that must be found: as JSON, or null for none. Undefined: whichever. */
    readonly expect: string | null | undefined;
    readonly by: string;
  }): Promise<{ readonly from: string | undefined }>;
  /** Resolves with the instance that leads then. @param to undefined: any that can */
  handOver(source: string | undefined, to: string | undefined, by: string): Promise<string>;
}
