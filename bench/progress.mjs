// What is being done, on stderr: on a terminal in one line that is written again and again.

export function openProgress(stream = process.stderr) {
  const startedAt = performance.now();
  const clear = () => stream.isTTY && stream.write('\r\u001b[K');
  let last = '';
  return {
    say(text) {
      if (text === last) return;
      last = text;
      const at = `${Math.round((performance.now() - startedAt) / 1000)} s`.padStart(6);
      if (!stream.isTTY) return void stream.write(`${at}  ${text}\n`);
      clear();
      stream.write(`${at}  ${text}`.slice(0, stream.columns - 1));
    },
    end: clear,
  };
}
