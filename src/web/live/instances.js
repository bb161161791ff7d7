import { breakable, byId, crown, element, keeperMark, setText, showList } from './dom.js';
import { sourcesByLeader } from './sources.js';
import { age, clock, count, plural, rate } from './words.js';

/** How long an instance is shown after it has stopped, in milliseconds. */
const LEFT_SHOWN_MS = 15_000;

/** Instances that have stopped. They delete their report from Redis, so only this page still knows them. */
const left = new Map();
let known = new Map();

/** Shows every instance, and those that have just stopped. */
export function showInstances({ instances, leader, keeper, sources, hello }, now) {
  const present = new Map(instances.map((each) => [each.instance, each]));
  for (const [name, instance] of known) {
    if (!present.has(name) && instance.state !== 'dead')
      left.set(name, { ...instance, state: 'left', rate: null, heardAt: now });
  }
  for (const [name, { heardAt }] of left) {
    if (present.has(name) || now - heardAt > LEFT_SHOWN_MS) left.delete(name);
  }
  known = present;

  const rows = [...instances, ...left.values()].sort((a, b) => a.startedAt - b.startedAt);
  const fastest = Math.max(...rows.map((each) => each.rate ?? 0), 1);
  const led = sourcesByLeader(sources);
  const view = { leader, keeper, led, hello, now, fastest };
  showList(
    byId('instances'),
    rows,
    (each) => each.instance,
    createRow,
    (row, each) => updateRow(row, each, view),
  );
  const alive = instances.filter((each) => each.state === 'alive').length;
  setText(
    byId('instances-count'),
    alive === instances.length ? count(alive) : `${alive} of ${instances.length} alive`,
  );
}

function createRow({ instance }) {
  const name = element('span', { class: 'name' });
  const head = element(
    'th',
    { scope: 'row' },
    element('span', { class: 'who' }, crown(), keeperMark(), name, element('span', { class: 'tags' })),
    element('span', { class: 'sub' }),
  );
  name.append(...breakable(instance));
  const bar = element('span', { class: 'bar', 'aria-hidden': 'true' });
  return element(
    'tr',
    {},
    head,
    element('td', { class: 'number handled' }),
    element('td', { class: 'number failures' }),
    element('td', { class: 'number rate' }, bar, element('span', { class: 'value' })),
  );
}

const STATES = {
  alive: () => undefined,
  silent: ({ heardAt }) => `silent since ${clock(heardAt)}`,
  dead: ({ heardAt }) => `gone, last report ${clock(heardAt)}`,
  left: ({ heardAt }) => `stopped at ${clock(heardAt)}`,
};

function updateRow(row, instance, { leader, keeper, led, hello, now, fastest }) {
  const name = instance.instance;
  const sources = led.get(name) ?? [];
  const leads = leader.instance === name || sources.length > 0;
  const keeps = keeper.instance === name;
  row.className = [leads && 'leads', keeps && 'keeps', instance.state].filter(Boolean).join(' ');
  const here = hello.instance === name;
  const tags = [
    leads && ['generator', generatorTag(sources)],
    keeps && ['keeper', 'keeper'],
    here && ['here', 'this page'],
    !instance.generates && ['handles', 'handles only'],
    STATES[instance.state](instance) && [instance.state, STATES[instance.state](instance)],
    instance.slow > 0 && ['slow', plural(instance.slow, 'slow message')],
    instance.stalled.length > 0 && ['stalled', `no progress: ${instance.stalled.join(', ')}`],
  ].filter(Boolean);
  showList(
    row.querySelector('.tags'),
    tags,
    ([kind]) => kind,
    ([kind]) => element('span', { class: `tag ${kind}` }),
    (tag, [, text]) => setText(tag, text),
  );
  showName(row.querySelector('.name'), instance, here ? undefined : boardOf(instance, hello));
  setText(
    row.querySelector('.sub'),
    `${instance.host} · pid\u00a0${instance.pid} · up\u00a0${age(now - instance.startedAt)}`,
  );
  setText(row.querySelector('.handled'), count(instance.handled));
  setText(row.querySelector('.failures'), count(instance.failed));
  setText(row.querySelector('.rate .value'), instance.rate === null ? '–' : rate(instance.rate));
  row.querySelector('.rate .bar').style.setProperty('--share', String((instance.rate ?? 0) / fastest));
}

/** With named sources, shows what it generates from: their names if they are few. */
function generatorTag(sources) {
  const named = sources.flatMap(({ source }) => (source === null ? [] : [source]));
  if (named.length === 0) return 'generator';
  return named.length > 3
    ? `generates from ${count(named.length)} sources`
    : `generates from ${named.join(', ')}`;
}

/** Shows the name, as a link to the instance's own live view if this browser can reach it. */
function showName(place, { instance, state }, board) {
  const url = state === 'alive' ? board : undefined;
  const link = place.querySelector('a');
  if ((link?.getAttribute('href') ?? undefined) === url) return;
  place.replaceChildren(
    ...(url === undefined
      ? breakable(instance)
      : [element('a', { href: url, title: 'its own live view' }, ...breakable(instance))]),
  );
}

/**
 * The URL of an instance's board; undefined if it is unknown. Behind a proxy it is always unknown: only a page that was
 * loaded directly from its instance can determine the addresses of other boards.
 */
export function boardOf({ board, host, state }, hello) {
  if (board === undefined || state !== 'alive') return undefined;
  if (location.protocol !== 'http:' || Number(location.port || 80) !== hello.port) return undefined;
  const sameMachine = host === hello.host;
  const loopback = /^(localhost|127\..*|::1)$/.test(board.host);
  const everywhere = board.host === '0.0.0.0' || board.host === '::';
  if (!sameMachine && loopback) return undefined;
  const target = everywhere || loopback ? (sameMachine ? location.hostname : host) : board.host;
  const bracketed = target.includes(':') && !target.startsWith('[') ? `[${target}]` : target;
  const url = `http://${bracketed}:${board.port}/`;
  return URL.canParse(url) ? new URL(url).href : undefined;
}
