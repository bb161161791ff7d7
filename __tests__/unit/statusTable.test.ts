import fc from 'fast-check';
import { colored } from '../../src/terminal/colors';
import { fit, widthOf } from '../../src/terminal/columns';
import { Screen } from '../../src/terminal/screen';
import type { GroupState } from '../../src/group/read';
import { keysOf } from '../../src/keys';
import { generatorRole, keeperRole } from '../../src/leadership/role';
import { toStatus } from '../../src/group/status';
import { formatStatus } from '../../src/commands/statusTable';

const NOW = Date.UTC(2024, 0, 1, 12);
const since = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

type Instance = GroupState['instances'][number];
type Source = GroupState['sources'][number];

const instance = (name: string, fields: Partial<Instance> = {}): Instance => ({
  ...{ instance: name, host: 'h', pid: 1, startedAt: since(6), handled: 4, failed: 0 },
  ...{ state: 'alive', generates: true, seen: NOW, board: undefined },
  ...fields,
});

const keys = keysOf('nic');
const source = (leader: Source['leader'], fields: Partial<Source> = {}, name?: string): Source => ({
  ...{ role: generatorRole(keys, name), leader, record: leader, generated: 11, cursorJson: undefined },
  ...{ pause: undefined, state: 'generating' as const },
  ...fields,
});

const LEADER = { instance: 'vm:1:abc', term: 3, since: since(5) };
const KEEPER = { instance: 'vm:22:defg', term: 2, since: since(4) };
const GROUP: GroupState = {
  namespace: 'nic',
  now: NOW,
  keeper: { role: keeperRole(keys), leader: KEEPER, record: KEEPER },
  paused: { generating: undefined, handling: undefined },
  sources: [source(LEADER)],
  instances: [instance('vm:1:abc', { failed: 2, startedAt: since(7300) }), instance('vm:22:defg')],
  messages: { generated: 11, waiting: 1, active: 2, delayed: 3, completed: 9, failed: 2 },
  errors: 2,
};
const FAILURE = {
  ...{ name: 'TypeError', message: "Cannot read properties of undefined (reading 'map')" },
  stack:
    "TypeError: Cannot read properties of undefined (reading 'map')\n    at generate (file:///task.mjs:3:4)",
  ...{ since: NOW - 12_000, retryAt: NOW + 3000 },
};

describe('the status as text', () => {
  it('is a table', () => {
    expect(formatStatus(GROUP, { now: NOW })).toBe(
      `nic: generator vm:1:abc, term 3, for 5 s
keeper     vm:22:defg, term 2, for 4 s

messages   11 generated
           1 waiting   2 active   3 delayed
           9 completed   2 failed
errors     2   (getErrors prints them)

instances  2     handled   failed    up
  * vm:1:abc           4        2   2 h
    vm:22:defg         4        0   6 s
`,
    );
  });

  it('says that a leader whose process has ended is gone', () => {
    const first = (instances: GroupState['instances']) =>
      formatStatus({ ...GROUP, instances }, { now: NOW }).split('\n', 1)[0];
    expect(first([])).toBe('nic: no generator, vm:1:abc is gone');
    expect(first([instance('vm:22:defg')])).toBe('nic: no generator, vm:1:abc is gone');
  });

  it('shows who has paused what, and since when', () => {
    const paused = { generating: { by: 'ann@vm', since: since(180) }, handling: {} };
    expect(formatStatus({ ...GROUP, paused }, { now: NOW })).toContain(
      `keeper     vm:22:defg, term 2, for 4 s
paused     generating, for 3 min, by ann@vm
           handling
`,
    );
    const sources = [source(undefined, { pause: { since: since(5) }, state: 'paused' }, 'eu')];
    expect(formatStatus({ ...GROUP, sources }, { now: NOW })).toContain('paused     source eu, for 5 s\n');
  });

  it('shows the last failure of a role, with its stack and the time of the next attempt', () => {
    const roles = [{ role: 'generator', state: 'failed' as const, failure: FAILURE }];
    const failing = (leader: Source['leader'], leads = instance('vm:1:abc')) =>
      formatStatus(
        { ...GROUP, sources: [source(leader)], instances: [instance('vm:22:defg', { roles }), leads] },
        { now: NOW },
      );
    const text = `errors     2   (getErrors prints them)
failing    generator failed, for 12 s, next attempt in 3 s, on vm:22:defg
           TypeError: Cannot read properties of undefined (reading 'map')
             at generate (file:///task.mjs:3:4)
`;
    expect(failing(undefined)).toContain(text);
    expect(failing({ ...LEADER, since: since(5) })).toContain(text);
    // Another instance succeeds.
    expect(failing({ ...LEADER, since: since(90) })).not.toContain('failing');
    const older = { ...FAILURE, message: 'older', retryAt: NOW - 1 };
    const both = instance('vm:1:abc', { roles: [{ role: 'generator', state: 'failed', failure: older }] });
    expect(failing(undefined, both)).toContain(text);
  });

  it('shows messages that are unusually slow, and activities that make no progress', () => {
    const instances = [instance('vm:1:abc', { slow: 2, stalled: ['redelivery', 'samples'] })];
    expect(formatStatus({ ...GROUP, instances }, { now: NOW })).toMatch(
      /vm:1:abc .*\n {6}2 unusually slow messages; no progress: redelivery, samples\n$/,
    );
  });

  it('says when no living instance can generate, and when there is no keeper', () => {
    const instances = [
      instance('a', { generates: false }),
      instance('b', { generates: true, state: 'dead' }),
    ];
    const keeper = { ...GROUP.keeper, leader: undefined };
    expect(formatStatus({ ...GROUP, keeper, sources: [source(undefined)], instances }, { now: NOW })).toMatch(
      /^nic: no generator\nno living instance can generate \(CAN_GENERATE, .*\)\nkeeper {5}none\n\n/,
    );
  });

  it('lists named sources', () => {
    const sources = [source(LEADER, {}, 'eu'), source(undefined, { generated: 2, state: 'failed' }, 'us')];
    const text = formatStatus({ ...GROUP, sources }, { now: NOW });
    expect(text).toMatch(/^nic: 1 of 2 sources have a generator\n/);
    expect(text).toContain(
      `sources    2   generated   term   state        generator
  eu                  11      3   generating   vm:1:abc
  us                   2      -   failed       -

`,
    );
  });

  it('truncates long names in the middle, since they differ at their ends', () => {
    const long = (end: string) => `host-with-a-very-long-name.${'example.'.repeat(20)}com:12345:${end}`;
    const leader = { instance: long('aaaaaa'), term: 3, since: since(5) };
    const text = formatStatus(
      {
        ...GROUP,
        namespace: 'x'.repeat(100),
        sources: [source(leader)],
        instances: [instance(long('aaaaaa')), instance(long('bbbbbb'))],
      },
      { now: NOW },
    );
    const lines = text.split('\n');
    expect(lines[0]).toMatch(/^x+…x+: generator host-with-.*….*:aaaaaa, term 3, for 5 s$/);
    expect(lines.at(-2)).toMatch(/^ {4}host-with-.*….*:bbbbbb +4 +0 +6 s$/);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('fits its width and contains no control characters, with and without colors', () => {
    const text = fc.string({ unit: 'binary', maxLength: 220 });
    const number = fc.oneof(fc.nat(), text as fc.Arbitrary<never>);
    const member = fc.record({
      instance: text,
      handled: number,
      failed: number,
      startedAt: text,
      stalled: fc.array(text, { maxLength: 2 }),
    });
    fc.assert(
      fc.property(
        text,
        text,
        fc.array(member, { maxLength: 4 }),
        fc.constantFrom(60, 72, 80),
        (namespace, name, members, width) => {
          const instances = members.map((fields) => ({ ...instance(''), ...fields }));
          const leader = { instance: name, term: 1_000_000, since: since(1_000_000) };
          const failure = { ...FAILURE, name, message: name, stack: name };
          const roles = [{ role: 'generator:eu', state: 'failed' as const, failure }];
          const status: GroupState = {
            ...{ ...GROUP, namespace },
            sources: [source(leader), source(undefined, { pause: { by: name, since: name } }, 'eu')],
            instances: instances.map((each) => ({ ...each, roles })),
          };
          const formatted = formatStatus(status, { now: NOW, width });
          const lines = formatted.split('\n');
          for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(width);
          expect(formatted).not.toMatch(/[^\P{Cc}\n]|[\p{Bidi_Control}\u2028\u2029]/u);
          const painted = formatStatus(status, { now: NOW, width, paint: colored });
          // eslint-disable-next-line no-control-regex
          expect(painted.replace(/\u001b\[\d+m/g, '')).toBe(formatted);
        },
      ),
    );
  });

  it('counts columns, not characters', () => {
    expect([widthOf('größe'), widthOf('e\u0301'), widthOf('日本'), widthOf('🙂')]).toEqual([5, 1, 4, 2]);
    expect(fit('日本語日本語', 7)).toBe('日…本語');
    expect(fit('abcdefgh', 5)).toBe('ab…gh');
    expect(fit('abcde', 5)).toBe('abcde');
  });
});

describe('the status as JSON', () => {
  it('has exactly the documented fields', () => {
    const status = toStatus({ ...GROUP, sources: [source(LEADER, { cursorJson: '{"page":3}' })] });
    expect(status).toEqual({
      namespace: 'nic',
      leader: LEADER,
      keeper: KEEPER,
      instances: GROUP.instances.map(({ instance: name, host, pid, startedAt, handled, failed }) => {
        return { instance: name, host, pid, startedAt, leader: name === 'vm:1:abc', handled, failed };
      }),
      messages: GROUP.messages,
      paused: { generating: false, handling: false },
      sources: [{ source: null, leader: LEADER, generated: 11, cursor: { page: 3 }, state: 'generating' }],
      errors: 2,
    });
  });
});

describe('a screen', () => {
  const drawn = async (texts: string[], rows = 24) => {
    const written: string[] = [];
    const screen = new Screen((text) => {
      written.push(text);
      return Promise.resolve(true);
    });
    for (const text of texts) await screen.draw(text, { rows });
    await screen.close();
    return written;
  };

  it('is cleared once and then overwritten, each time in a single write', async () => {
    expect(await drawn(['a\nb\n', 'c\n'])).toEqual([
      '\u001b[?25l\u001b[2J\u001b[Ha\u001b[K\nb\u001b[K\n\u001b[J',
      '\u001b[Hc\u001b[K\n\u001b[J',
      '\u001b[?25h',
    ]);
  });

  it('is not written beyond its last row, which would scroll it', async () => {
    const [first] = await drawn(['1\n2\n3\n4\n5\n6\n'], 5);
    expect(first).toContain('3\u001b[K\n    … and 3 more lines\u001b[K\n\u001b[J');
    expect(first!.match(/\n/g)).toHaveLength(4);
  });

  it('is not touched if nothing was drawn', async () => {
    expect(await drawn([])).toEqual([]);
  });
});
