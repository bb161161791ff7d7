// An error in full. It is read only when its row is expanded.
import { element } from './dom.js';
import { get } from './request.js';

/** The text of a row that expands to stack and causes. */
export function unfolding(id, ...summary) {
  const place = element('div', { class: 'full' });
  const details = element(
    'details',
    { class: 'unfold', toggle: () => details.open && void show(id, place) },
    element('summary', {}, ...summary),
    place,
  );
  return details;
}

async function show(id, place) {
  if (place.childElementCount > 0) return;
  const { answer, problem } = await get(`live/errors/${encodeURIComponent(id)}`);
  // It is read again when the row is expanded again.
  if (problem !== undefined) return place.replaceChildren(`Not shown: ${problem}`);
  const { chain, data, note } = answer;
  place.replaceChildren(
    ...(note === '' ? [] : [element('p', {}, note)]),
    ...chain.map(linkOf),
    ...(data === '' ? [] : [element('p', { class: 'sub' }, 'message'), element('pre', {}, data)]),
  );
}

function linkOf({ relation, depth, name, message, code, stack }) {
  return element(
    'div',
    { class: `link depth-${Math.min(depth, 5)}` },
    relation === '' && code === ''
      ? ''
      : element(
          'p',
          {},
          ...(relation === '' ? [] : [element('span', { class: 'sub' }, relation), ' ']),
          ...(relation === '' ? [] : [element('strong', {}, name), `: ${message}`]),
          ...(code === '' ? [] : [' ', element('span', { class: 'tag' }, code)]),
        ),
    stack === '' ? '' : element('pre', {}, stack),
  );
}
