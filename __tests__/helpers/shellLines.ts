/** One simple command of a shell block: `NAME=value word word > file`. */
export interface ShellCommand {
  /** From 0, within the block. */
  readonly line: number;
  readonly assignments: Readonly<Record<string, string>>;
  /** Without their quotes. */
  readonly words: readonly string[];
  /** Files that it writes. */
  readonly writes: readonly string[];
}

const KEYWORD = /^(?:do|done|then|else|fi|if|while|until|esac|\{|\}|!)$/;

/**
 * Takes a shell block apart as far as documents need it: quotes, comments, continued lines, pipes and lists, here
 * documents, and loops by leaving their keywords out. What `$(...)` holds stays one word.
 */
export function shellCommands(code: string): ShellCommand[] {
  const commands: ShellCommand[] = [];
  let words: string[] = [];
  let writes: string[] = [];
  let startedAt = 0;
  const end = () => {
    while (words[0] !== undefined && KEYWORD.test(words[0])) words.shift();
    const assignments: Record<string, string> = {};
    for (let found; (found = /^([A-Za-z_]\w*)=([^]*)$/.exec(words[0] ?? '')); words.shift())
      assignments[found[1]!] = found[2]!;
    const isLoop = words[0] === 'for' && words[2] === 'in';
    if (!isLoop && (words.length > 0 || Object.keys(assignments).length > 0))
      commands.push({ line: startedAt, assignments, words, writes });
    words = [];
    writes = [];
  };
  for (const { token, line, kind } of tokensOf(code)) {
    if (words.length === 0) startedAt = line;
    if (kind === 'end') end();
    else if (kind === 'file') writes.push(token);
    else words.push(token);
  }
  end();
  return commands;
}

interface Token {
  token: string;
  line: number;
  kind: 'word' | 'file' | 'end';
}

function tokensOf(code: string): Token[] {
  const tokens: Token[] = [];
  let line = 0;
  let toFile = false;
  let hereEnd: string | undefined;
  // In this order: a word is what is left, of quoted and plain pieces.
  const pattern =
    /(?<space>[ \t]+|\\\n)|(?<comment>#[^\n]*)|(?<newline>\n)|(?<here><<-?\s*(['"]?)(?<tag>\w+)\5)|(?<to>\d?>>?&?\d?|<)|(?<list>&&|\|\||[|;&])|(?<word>(?:'[^']*'|"(?:\\.|[^"\\])*"|\$\((?:[^()]|\([^()]*\))*\)|\\.|[^\s'"|;&<>\\])+)/gy;
  for (let match; pattern.lastIndex < code.length;) {
    const at = pattern.lastIndex;
    match = pattern.exec(code);
    if (match === null) throw new Error(`can not be read as shell: ${code.slice(at).split('\n', 1)[0]}`);
    const { newline, here, tag, to, list, word } = match.groups!;
    if (here !== undefined) hereEnd = tag;
    else if (to !== undefined) toFile = /^1?>>?$/.test(to);
    else if (newline !== undefined || list !== undefined) tokens.push({ token: '', line, kind: 'end' });
    else if (word !== undefined) {
      tokens.push({ token: unquoted(word), line, kind: toFile ? 'file' : 'word' });
      toFile = false;
    }
    line += match[0].split('\n').length - 1;
    if (newline === undefined || hereEnd === undefined) continue;
    const rest = code.slice(pattern.lastIndex);
    const close = new RegExp(`^\\s*${hereEnd}$`, 'm').exec(rest);
    if (close === null) throw new Error(`a here document without its ${hereEnd}`);
    const skipped = close.index + close[0].length;
    line += rest.slice(0, skipped).split('\n').length - 1;
    pattern.lastIndex += skipped;
    hereEnd = undefined;
  }
  return tokens;
}

const unquoted = (word: string) =>
  word.replace(
    /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/g,
    (_, single?: string, double?: string, plain?: string) => {
      return single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? plain!;
    },
  );
