import { breakable, byId, element, setText, showList } from './dom.js';
import { moment } from './words.js';

/** Shows the last failure of each role whose work has failed, with its stack. */
export function showFailures({ failures }, now) {
  byId('failures-card').hidden = failures.length === 0;
  showList(byId('failures'), failures, keyOf, createItem, (item, failure) => {
    item.className = failure.leader === null ? 'failing' : '';
    setText(item.querySelector('.when'), whenOf(failure, now));
  });
}

const keyOf = ({ role, instance, since, name, text, stack }) =>
  `${role} ${instance} ${since} ${name} ${text} ${stack}`;

function createItem({ role, source, instance, name, text, stack }) {
  const what = source === null ? `The ${role}` : `The generator of ${source}`;
  return element(
    'li',
    {},
    element(
      'p',
      { class: 'head' },
      `${what}, on `,
      ...breakable(instance),
      ' ',
      element('span', { class: 'when' }),
    ),
    element(
      'details',
      { class: 'unfold' },
      element('summary', {}, element('span', { class: 'text' }, element('strong', {}, name), `: ${text}`)),
      element('pre', {}, stack === '' ? 'There is no stack.' : stack),
    ),
  );
}

function whenOf({ instance, leader, since, retryAt }, now) {
  const failing = `failing since ${moment(since, now)}`;
  if (leader === instance) return `${failing}; it is being retried`;
  if (leader !== null) return `failed at ${moment(since, now)}; ${leader} leads now`;
  return retryAt > now ? `${failing}; it will be retried at ${moment(retryAt, now)}` : `${failing}`;
}
