/** Writes output. Resolves to false once the reader has closed it. */
export type Write = (text: string) => Promise<boolean>;
