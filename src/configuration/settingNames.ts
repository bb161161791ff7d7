/** The variables that configure an instance. */
export const SETTING_NAMES = [
  ...['REDISURL', 'REDIS_URL', 'LEASE_REDIS_URLS', 'REDIS_CA_FILE', 'SENTINEL_USER', 'SENTINEL_PASSWORD'],
  ...['STRICT_REDIS', 'NAMESPACE', 'INSTANCE_NAME', 'TASK', 'GENERATOR_HANDLES', 'CAN_GENERATE', 'SOURCES'],
  ...[
    'CONCURRENCY',
    'ATTEMPTS',
    'BACKOFF_MS',
    'ON_STALL',
    'HANDLE_TIMEOUT_MS',
    'JOB_LOCK_MS',
    'LEASE_TTL_MS',
  ],
  ...['MAX_BACKLOG', 'COMMIT_MAX_MESSAGES', 'KEEP_COMPLETED', 'SHUTDOWN_TIMEOUT_MS', 'TRACES'],
  ...['BOARD', 'BOARD_HOST', 'BOARD_PORT', 'BOARD_USER', 'BOARD_PASSWORD', 'BOARD_READ_ONLY'],
  ...['LOG_LEVEL', 'LOG_FORMAT', 'DEMO_INTERVAL_MS', 'DEMO_HANDLE_MS', 'DEMO_ERROR_RATE'],
];

/** Similar to this program's names, but common names of other programs. */
const OF_OTHERS: ReadonlySet<string> = new Set(['LOGLEVEL', 'SOURCE', 'TRACE', 'NO_COLOR']);

const SYNONYMS: Readonly<Record<string, readonly string[] | undefined>> = {
  REDISURL: ['REDIS_URL'],
  REDIS_URL: ['REDISURL'],
};

/** Shorter names are similar to too many others. */
const MIN_LENGTH = 7;
/** From this length on, two mistakes are tolerated. */
const LONG_LENGTH = 9;

/**
 * Returns variables that are probably misspelt names of settings: one mistake away (a letter too many, missing, wrong
 * or swapped), or two in a long name. A variable is skipped if the correct name is set as well, because then it
 * probably means something else.
 */
export function findMisspelt(env: Readonly<Record<string, string | undefined>>) {
  const isSet = (known: string) =>
    [known, ...(SYNONYMS[known] ?? [])].some((name) => env[name] !== undefined);
  return Object.keys(env).flatMap((name) => {
    if (SETTING_NAMES.includes(name) || OF_OTHERS.has(name)) return [];
    const upper = name.toUpperCase();
    const near = SETTING_NAMES.filter((known) => !isSet(known))
      .map((meant) => ({ meant, mistakes: countMistakes(upper, meant) }))
      .filter(({ meant, mistakes }) => mistakes <= maxMistakes(meant));
    const [best] = near.sort((a, b) => a.mistakes - b.mistakes);
    return best === undefined ? [] : [{ name, meant: best.meant }];
  });
}

function maxMistakes({ length }: string): number {
  if (length < MIN_LENGTH) return 0;
  return length < LONG_LENGTH ? 1 : 2;
}

/** The Damerau-Levenshtein distance, with each pair of letters swapped at most once. */
function countMistakes(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return Infinity;
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i++) {
    const [above, row] = [rows[i - 1]!, [i]];
    for (let j = 1; j <= b.length; j++) {
      const substituted = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(above[j]! + 1, row[j - 1]! + 1, substituted);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
