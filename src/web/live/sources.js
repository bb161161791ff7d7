// The sources and their generators. Without named sources there is one source without a name, and no list.
import { breakable, byId, element, setText, showList } from './dom.js';
import { count, plural, rate, sinceAndBy } from './words.js';

/** With more sources than this, the list is collapsed at first. */
const MAX_OPEN = 12;
/** Maximum number of names in the line about the sources of one state. */
const MAX_NAMES = 6;
const STATES = ['generating', 'finished', 'paused', 'failed', 'vacant'];

const byName = new Intl.Collator('en', { numeric: true });

/** The named sources, sorted by name. */
export const namedSources = (sources) =>
  sources.filter(({ source }) => source !== null).sort((a, b) => byName.compare(a.source, b.source));

/** The sources that each instance generates from. */
export function sourcesByLeader(sources) {
  const led = new Map();
  for (const each of sources) {
    if (each.leader !== null) led.set(each.leader, [...(led.get(each.leader) ?? []), each]);
  }
  return led;
}

/** How many sources are in each state, with names if the state needs attention. */
export function stateSummary(sources) {
  const parts = STATES.flatMap((state) => {
    const those = sources.filter((each) => each.state === state);
    if (those.length === 0) return [];
    const quiet = state === 'generating' || state === 'finished';
    const names = those.slice(0, MAX_NAMES).map(({ source }) => source);
    const more = those.length > MAX_NAMES ? ', …' : '';
    return [`${count(those.length)} ${state}${quiet ? '' : ` (${names.join(', ')}${more})`}`];
  });
  return parts.join(', ');
}

export function showSources({ sources }, now) {
  const named = namedSources(sources);
  const card = byId('sources-card');
  const list = byId('sources-list');
  if (card.hidden && named.length > 0) list.open = named.length <= MAX_OPEN;
  card.hidden = named.length === 0;
  if (card.hidden) return;
  setText(byId('sources-count'), count(named.length));
  setText(list.querySelector('summary'), `Each of the ${plural(named.length, 'source')}`);
  showList(
    byId('sources'),
    named,
    ({ source }) => source,
    createRow,
    (row, each) => updateRow(row, each, now),
  );
}

function createRow({ source }) {
  return element(
    'tr',
    {},
    element(
      'th',
      { scope: 'row' },
      element('span', { class: 'name' }, ...breakable(source)),
      element('code', { class: 'sub cursor' }),
    ),
    element('td', {}, element('span', { class: 'leader' }), element('span', { class: 'sub term' })),
    element('td', {}, element('span', { class: 'tag state' }), element('span', { class: 'sub pause' })),
    element(
      'td',
      { class: 'number' },
      element('span', { class: 'rate' }),
      element('span', { class: 'sub generated' }),
    ),
  );
}

function updateRow(row, { leader, term, cursor, state, pause, rate: perSecond, generated }, now) {
  const set = (name, text) => setText(row.querySelector(`.${name}`), text);
  set('cursor', cursor);
  row.querySelector('.cursor').title = cursor;
  const place = row.querySelector('.leader');
  if (place.textContent !== (leader ?? 'none')) place.replaceChildren(...breakable(leader ?? 'none'));
  set('term', term === null ? '' : `term ${count(term)}`);
  set('state', state);
  row.querySelector('.state').className = `tag state ${state}`;
  set('pause', pause === null ? '' : sinceAndBy(pause, now).replace(/^,? /, ''));
  set('rate', perSecond === null ? '–' : rate(perSecond));
  set('generated', `${count(generated)} in total`);
}
