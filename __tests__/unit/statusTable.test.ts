import fc from 'fast-check';
import { colored } from '../../src/terminal/colors';
import { fit, widthOf } from '../../src/terminal/columns';
import { Screen } from '../../src/terminal/screen';
import type { Status } from '../../src/group/status';
import { formatStatus } from '../../src/commands/statusTable';

const NOW = Date.UTC(2024, 0, 1, 12);
const since = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

const instance = (name: string, fields: Partial<Status['instances'][number]> = {}) => ({
  instance: name,
  host: 'h',
  pid: 1,
  startedAt: since(6),
  leader: false,
  handled: 4,
  failed: 0,
  ...fields,
});

const STATUS: Status = {
  namespace: 'nic',
  leader: { instance: 'vm:1:abc', term: 3, since: since(5) },
  keeper: { instance: 'vm:22:defg', term: 2, since: since(4) },
  paused: { generating: false, handling: false },
  sources: [],
  instances: [
    instance('vm:1:abc', { leader: true, failed: 2, startedAt: since(7300) }),
    instance('vm:22:defg'),
  ],
  messages: { generated: 11, waiting: 1, active: 2, delayed: 3, completed: 9, failed: 2 },
  errors: 2,
};

describe('the status for people', () => {
  it('is a table', () => {
    expect(formatStatus(STATUS, { now: NOW })).toBe(
      `nic: generator vm:1:abc, term 3, for 5 s

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

  it('says that a leader whose process is gone is gone', () => {
    const first = (instances: Status['instances']) =>
      formatStatus({ ...STATUS, instances }, { now: NOW }).split('\n', 1)[0];
    expect(first([])).toBe('nic: no generator, vm:1:abc is gone');
    expect(first([instance('vm:22:defg')])).toBe('nic: no generator, vm:1:abc is gone');
  });

  it('leaves out the middle of names that are too long, since they differ at their ends', () => {
    const long = (end: string) => `host-with-a-very-long-name.${'example.'.repeat(20)}com:12345:${end}`;
    const leader = { instance: long('aaaaaa'), term: 3, since: since(5) };
    const text = formatStatus(
      {
        ...STATUS,
        namespace: 'x'.repeat(100),
        leader,
        instances: [instance(long('aaaaaa'), { leader: true }), instance(long('bbbbbb'))],
      },
      { now: NOW },
    );
    const lines = text.split('\n');
    expect(lines[0]).toMatch(/^x+…x+: generator host-with-.*….*:aaaaaa, term 3, for 5 s$/);
    expect(lines.at(-2)).toMatch(/^ {4}host-with-.*….*:bbbbbb +4 +0 +6 s$/);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('fits its width and holds no control character, whatever is in it, with colours as without', () => {
    const text = fc.string({ unit: 'binary', maxLength: 220 });
    const number = fc.oneof(fc.nat(), text as fc.Arbitrary<never>);
    const member = fc.record({
      instance: text,
      handled: number,
      failed: number,
      startedAt: text,
      leader: fc.boolean(),
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
          const status = { ...STATUS, namespace, leader, instances };
          const formatted = formatStatus(status, { now: NOW, width });
          const lines = formatted.split('\n');
          expect(lines).toHaveLength(9 + instances.length);
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

  it('is cleared once, and then written over, each time in one piece', async () => {
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

  it('that was never drawn on is left alone', async () => {
    expect(await drawn([])).toEqual([]);
  });
});
