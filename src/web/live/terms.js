import { breakable, byId, crown, element, setText, showList } from './dom.js';
import { age, cause, count, duration, explained, kindOf, moment } from './words.js';

/** Shows which instance generates, and how it became the generator. */
export function showGenerator({ leader, terms, instances }, now) {
  const place = byId('generator');
  const name = leader.instance ?? 'none';
  if (place.dataset.name !== name) {
    place.dataset.name = name;
    place.replaceChildren(
      ...(leader.instance === undefined ? ['none'] : [crown(), element('span', {}, ...breakable(name))]),
    );
    place.classList.toggle('vacant', leader.instance === undefined);
  }
  const [since, before] = storyOf(leader, terms, instances, now);
  setText(byId('generator-since'), since);
  setText(byId('generator-before'), before);
}

/** Says since when it leads, and how the previous term ended. */
function storyOf(leader, terms, instances, now) {
  if (leader.instance === undefined) {
    const why =
      leader.vacantSince === undefined
        ? 'nobody holds the lease'
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
export function newsOf(before, { leader, terms }) {
  if (before === undefined || (before.instance === leader.instance && before.term === leader.term))
    return undefined;
  if (leader.instance === undefined) return 'There is no generator now.';
  const entry = terms.find((each) => each.term === leader.term);
  const why =
    entry === undefined || entry.cause === 'first' ? '' : `, after a ${cause(entry.cause)}${vacancy(entry)}`;
  return `${leader.instance} is the generator now, term ${leader.term}${why}.`;
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
        element('span', { class: 'name' }, ...breakable(instance)),
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
