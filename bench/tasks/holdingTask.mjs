// A task that generates nothing, and holds each message that it is given for ever.
export const handle = () => new Promise(() => undefined);
