import { confirmed } from './confirm.js';
import { unfolding } from './details.js';
import { breakable, byId, element, setText, showList } from './dom.js';
import { post } from './request.js';
import { count, moment, plural } from './words.js';

let state;

/** Shows the newest errors, each with its actions. */
export function showErrors({ errors, hello }, now) {
  state = { errors, hello };
  const { total, newest } = errors;
  setText(byId('errors-count'), count(total));
  byId('errors-none').hidden = total > 0;
  byId('errors-all').hidden = total === 0 || hello.readOnly;
  const list = byId('errors');
  const focused = document.activeElement?.closest('#errors > li');
  const place = [...list.children].indexOf(focused);
  showList(list, newest, keyOf, createItem, (item, error) =>
    setText(item.querySelector('time'), timeOf(error, now)),
  );
  // The item that had focus was removed: focus the one in its place, or the heading.
  if (place !== -1 && !focused.isConnected) {
    (
      list.children[Math.min(place, list.children.length - 1)]?.querySelector('button') ??
      byId('errors-title')
    ).focus();
  }
  const more = byId('errors-more');
  more.hidden = total <= newest.length;
  setText(
    more,
    `The newest ${count(newest.length)} of ${count(total)}. The getErrors command prints all of them.`,
  );
}

const keyOf = ({ id, failedAt }) => `${id} ${failedAt}`;
const timeOf = ({ failedAt }, now) =>
  Number.isNaN(Date.parse(failedAt)) ? '' : moment(Date.parse(failedAt), now);

function createItem(error) {
  const { id, failedAt, name, text, data, attempts, instance, retriable } = error;
  const label = `message ${id}`;
  const inBullBoard = {
    class: 'id',
    href: `board/queue/messages/${encodeURIComponent(id)}`,
    title: 'in Bull Board',
  };
  const tries = attempts > 1 ? `, ${plural(attempts, 'attempt')}` : '';
  const head = element(
    'p',
    { class: 'head' },
    ...[element('time', { datetime: failedAt }), ' '],
    ...[retriable ? element('a', inBullBoard, label) : element('span', { class: 'id' }, label), ' '],
    element('span', { class: 'sub' }, ...(instance === '' ? [] : ['on ', ...breakable(instance), tries])),
  );
  const said = name === '' ? [text] : [element('strong', {}, name), `: ${text}`];
  const what = element('div', { class: 'what' }, unfolding(id, element('span', { class: 'text' }, ...said)));
  if (data !== '') what.append(element('p', { class: 'data' }, element('code', {}, data)));
  return element('li', {}, head, what, buttonsFor(error));
}

function buttonsFor(error) {
  if (state.hello.readOnly) return '';
  const button = (action, label) =>
    element(
      'button',
      {
        type: 'button',
        'aria-label': `${label} message ${error.id}`,
        click: (event) => change(event, action, [error]),
      },
      label,
    );
  return element(
    'p',
    { class: 'actions' },
    error.retriable ? button('retry', 'Retry') : '',
    button('clear', 'Clear'),
  );
}

const ASKED = {
  retry: {
    title: (total) => `Retry ${plural(total, 'message')}?`,
    text: 'They are requeued with all their attempts, and any instance can handle them.',
    yes: 'Retry all',
  },
  clear: {
    title: (total) => `Clear ${plural(total, 'error')}?`,
    text: 'Their failed messages are removed too, and can no longer be retried.',
    yes: 'Clear all',
  },
};

/** An action on all errors asks for confirmation first. */
export function setUpErrors() {
  for (const button of byId('errors-all').querySelectorAll('button')) {
    const { action } = button.dataset;
    button.addEventListener('click', async (event) => {
      const { title, text, yes } = ASKED[action];
      if (await confirmed({ title: title(state.errors.total), text, yes }))
        await change(event, action, 'all');
    });
  }
}

async function change({ target: button }, action, which) {
  const body =
    which === 'all' ? { all: true } : { errors: which.map(({ id, failedAt }) => ({ id, failedAt })) };
  if (button.ariaDisabled === 'true') return;
  // A disabled button would lose the focus, and keyboard users would lose their place.
  button.ariaDisabled = 'true';
  say('…');
  const { answer, problem } = await post(`live/errors/${action}`, body);
  say(problem === undefined ? resultOf(action, which, answer) : `Not done: ${problem}`);
  // The next frame removes the item; if it stays, the button can be pressed again.
  setTimeout(() => button.removeAttribute('aria-disabled'), 1500);
}

function resultOf(action, which, { done, left }) {
  const what = which === 'all' || which.length > 1 ? plural(done, 'message') : `Message ${which[0].id}`;
  if (done > 0) return action === 'retry' ? `${what}: back in the queue.` : `${what}: cleared.`;
  if (which === 'all') return 'No errors were left.';
  return action === 'retry'
    ? `Message ${left[0]} cannot be retried: it is no longer failed.`
    : `Message ${left[0]} was not cleared: it has failed again, or has been retried or cleared in the meantime.`;
}

const say = (text) => setText(byId('errors-result'), text);
