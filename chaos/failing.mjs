/** Which messages are meant to fail: often enough that some failure is being recorded whenever a fault strikes. */
export const isMeantToFail = (n) => n % 10 === 0;
