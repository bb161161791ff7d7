// Shows progress on stderr: on a terminal in a single line that is overwritten.

const BAR = 30;

export function openProgress(stream = process.stderr) {
  const startedAt = performance.now();
  let last = '';

  function show(text) {
    const at = `${Math.round((performance.now() - startedAt) / 1000)} s`.padStart(6);
    if (stream.isTTY) stream.write(`\r\u001b[K${`${at}  ${text}`.slice(0, stream.columns - 1)}`);
    else stream.write(`${at}  ${text}\n`);
  }

  return {
    say(text) {
      if (text !== last) show(text);
      last = text;
    },
    /** @param share from 0 to 1 */
    bar(text, share) {
      if (!stream.isTTY) return;
      const full = Math.round(share * BAR);
      show(`${'█'.repeat(full)}${'░'.repeat(BAR - full)} ${Math.floor(share * 100)} %  ${text}`);
    },
    end() {
      if (stream.isTTY) stream.write('\r\u001b[K');
    },
  };
}
