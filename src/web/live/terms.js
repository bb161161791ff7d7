import { byId, crown, element, setText, showList } from './dom.js';
import { age, cause, count, duration, explained, kindOf, moment } from './words.js';

/** Who generates, and how that came about. */
export function showGenerator({ leader, terms, instances }, now) {
  const place = byId('generator');
  const name = leader.instance ?? 'nobody';
  if (place.dataset.name !== name) {
    place.dataset.name = name;
    place.replaceChildren(
      ...(leader.instance === undefined ? ['nobody'] : [crown(), element('span', {}, name)]),
    );
    place.classList.toggle('vacant', leader.instance === undefined);
  }
  const [since, before] = storyOf(leader, terms, instances, now);
  setText(byId('generator-since'), since);
  setText(byId('generator-before'), before);
}

/** Since when, and what was before. */
function storyOf(leader, terms, instances, now) {
  if (leader.instance === undefined) {
    const why =
      leader.vacantSince === undefined
        ? 'nobody holds the lease'
        : `since ${moment(leader.vacantSince, now)}`;
    return [instances.length === 0 ? 'no instance is known' : why, ''];
  }
  const since = `term ${count(leader.term)} since ${moment(leader.since, now)}, for ${age(now - leader.since)}`;
  if (leader.present === false) return [since, 'its process is gone: a follower is about to take over'];
  const entry = terms.find((each) => each.term === leader.term);
  if (entry === undefined) return [since, ''];
  if (entry.cause === 'first') return [since, explained('first')];
  const vacant = entry.vacantMs === undefined ? '' : `: nobody had led for ${duration(entry.vacantMs)}`;
  return [since, `after a ${cause(entry.cause)}${vacant}`];
}

/** What a screen reader is told when somebody else leads; undefined if nobody else does. */
export function newsOf(before, { leader, terms }) {
  if (before === undefined || (before.instance === leader.instance && before.term === leader.term))
    return undefined;
  if (leader.instance === undefined) return 'Nobody is the generator now.';
  const entry = terms.find((each) => each.term === leader.term);
  const why = entry === undefined || entry.cause === 'first' ? '' : `, after a ${cause(entry.cause)}`;
  const vacant = entry?.vacantMs === undefined ? '' : `. Nobody had led for ${duration(entry.vacantMs)}`;
  return `${leader.instance} is the generator now, term ${leader.term}${why}${vacant}.`;
}

export function showTerms({ terms, leader }, now) {
  showList(
    byId('terms'),
    terms,
    (each) => `${each.term} ${each.instance}`,
    createRow,
    (row, each) => {
      row.className = each.term === leader.term && each.instance === leader.instance ? 'leads' : '';
      setText(row.querySelector('.since'), moment(each.since, now));
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
        element('span', { class: 'name' }, instance),
        element('span', { class: 'sub since' }),
      ),
    ),
    element(
      'td',
      {},
      element('span', { class: `tag cause ${kindOf(why)}`, title: explained(why) }, cause(why)),
      note === undefined ? '' : element('span', { class: 'sub' }, String(note)),
    ),
    element(
      'td',
      { class: 'number' },
      vacantMs === undefined ? (why === 'first' ? '–' : 'not known') : duration(vacantMs),
    ),
  );
}
