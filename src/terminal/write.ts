/** Where output goes. Resolves to false once nobody reads it any more. */
export type Write = (text: string) => Promise<boolean>;
