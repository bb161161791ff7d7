/** The messages that are meant to fail: enough for a failure to be in progress whenever a fault strikes. */
export const isMeantToFail = (n) => n % 10 === 0;
