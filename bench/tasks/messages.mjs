// The messages of every measurement: the same for all contenders.

/** Message `number`, whose JSON has about `bytes` bytes. */
export function message(number, bytes = 100) {
  return { number, text: 'x'.repeat(Math.max(0, bytes - 30)) };
}

export function messages(from, count, bytes) {
  return Array.from({ length: count }, (_, index) => message(from + index, bytes));
}
