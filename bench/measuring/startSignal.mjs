// The start signal that the parent gives, which may come before anybody waits for it.

export function startSignal() {
  return new Promise((resolve) => process.on('message', (message) => message === 'start' && resolve()));
}
