import { breakable, byId, crown, element, keeperMark, setText, showList } from './dom.js';
import { namedSources, stateSummary } from './sources.js';
import { age, cause, count, duration, explained, kindOf, moment } from './words.js';

/** Shows which instance generates, and how it became the generator; with named sources, how many have a generator. */
export function showGenerator({ leader, terms, instances, sources, keeper }, now) {
  const named = namedSources(sources);
  const led = named.filter((each) => each.leader !== null).length;
  const isVacant = named.length === 0 ? leader.instance === undefined : led === 0;
  const name =
    named.length === 0 ? (leader.instance ?? 'none') : `${count(led)} of ${count(named.length)} sources`;
  const place = byId('generator');
  if (place.dataset.name !== name) {
    place.dataset.name = name;
    place.replaceChildren(...(isVacant ? [] : [crown()]), element('span', {}, ...breakable(name)));
    place.classList.toggle('vacant', isVacant);
  }
  setText(byId('generator-title'), named.length === 0 ? 'Generator' : 'Generators');
  const [since, before] =
    named.length === 0 ? storyOf(leader, terms, instances, now) : [stateSummary(named), ''];
  setText(byId('generator-since'), since);
  setText(byId('generator-before'), before);
  setText(byId('generator-work'), named.length === 0 ? workOf(sources[0]) : '');
  showKeeper(keeper, now);
}

/** The position of the unnamed generator. */
function workOf({ state, cursor } = {}) {
  const finished = state === 'finished' ? 'has generated everything; ' : '';
  return cursor === undefined || cursor === '' ? finished.replace('; ', '') : `${finished}cursor ${cursor}`;
}

function showKeeper({ instance, term, since }, now) {
  const place = byId('keeper');
  const text = instance === undefined ? 'none' : instance;
  if (place.dataset.name !== text) {
    place.dataset.name = text;
    place.replaceChildren(...(instance === undefined ? [] : [keeperMark()]), ...breakable(text));
    place.classList.toggle('vacant', instance === undefined);
  }
  setText(
    byId('keeper-since'),
    instance === undefined ? '' : `term ${count(term)} since ${moment(since, now)}`,
  );
}

/** Says since when it leads, and how the previous term ended. */
function storyOf(leader, terms, instances, now) {
  if (leader.instance === undefined) {
    const why =
      leader.vacantSince === undefined
        ? 'no instance holds the lease'
        : `since ${moment(leader.vacantSince, now)}`;
    return [instances.length === 0 ? 'no instance is known' : why, ''];
  }
  const since = `term ${count(leader.term)} since ${moment(leader.since, now)}, for ${age(now - leader.since)}`;
  if (leader.present === false) {
    const followed = instances.some(({ state }) => state === 'alive');
    return [since, followed ? 'its process is gone; a follower will take over' : 'its process is gone'];
  }
  const entry = terms.find((each) => each.term === leader.term);
  if (entry === undefined) return [since, ''];
  if (entry.cause === 'first') return [since, explained('first')];
  return [since, `after a ${cause(entry.cause)}${vacancy(entry)}`];
}

const vacancy = ({ vacantMs }) => (vacantMs === undefined ? '' : `, ${duration(vacantMs)} without a leader`);

/** What a screen reader announces when leadership changes; undefined if it has not. */
export function newsOf(before, { leader, terms, sources }) {
  if (before === undefined) return undefined;
  const named = namedSources(sources);
  if (named.length > 0) return newsOfSources(namedSources(before.sources), named);
  if (before.leader.instance === leader.instance && before.leader.term === leader.term) return undefined;
  if (leader.instance === undefined) return 'There is no generator now.';
  const entry = terms.find((each) => each.term === leader.term);
  const why =
    entry === undefined || entry.cause === 'first' ? '' : `, after a ${cause(entry.cause)}${vacancy(entry)}`;
  return `${leader.instance} is the generator now, term ${leader.term}${why}.`;
}

/** For many changes at once, announces only their number. */
function newsOfSources(before, sources) {
  const leaders = new Map(before.map(({ source, leader }) => [source, leader]));
  const changed = sources.filter(({ source, leader }) => leaders.get(source) !== leader);
  if (changed.length === 0) return undefined;
  if (changed.length > 3) return `${count(changed.length)} sources have changed generators.`;
  return changed.map(({ source, leader }) => `${leader ?? 'Nobody'} generates from ${source} now.`).join(' ');
}

export function showTerms({ terms, leader, sources }, now) {
  const current = new Map(namedSources(sources).map((each) => [each.source, each]));
  showList(
    byId('terms'),
    terms,
    (each) => `${each.term} ${each.instance} ${each.source ?? ''}`,
    createRow,
    (row, each) => {
      const source = current.get(each.source);
      const leads =
        each.source === undefined
          ? each.term === leader.term && each.instance === leader.instance
          : each.term === source?.term && each.instance === source?.leader;
      row.className = leads ? 'leads' : '';
      const since = moment(each.since, now);
      setText(row.querySelector('.since'), each.source === undefined ? since : `${each.source}, ${since}`);
    },
  );
}

function createRow({ term, instance, cause: why, note, vacantMs }) {
  return element(
    'tr',
    {},
    element('td', { class: 'number' }, count(term)),
    element(
      'th',
      { scope: 'row' },
      element(
        'span',
        { class: 'line' },
        element('span', { class: 'name' }, ...breakable(instance)),
        element('span', { class: 'sub since' }),
      ),
      note === undefined ? '' : element('span', { class: 'sub' }, String(note)),
    ),
    element(
      'td',
      {},
      element('span', { class: `tag cause ${kindOf(why)}`, title: explained(why) }, cause(why)),
    ),
    element(
      'td',
      { class: 'number' },
      vacantMs === undefined ? (why === 'first' ? '–' : 'not known') : duration(vacantMs),
    ),
  );
}
