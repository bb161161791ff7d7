// The start signal of the parent, which can arrive before anybody waits for it.

export function startSignal() {
  return new Promise((resolve) => process.on('message', (message) => message === 'start' && resolve()));
}
