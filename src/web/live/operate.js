// Buttons that operate the group: pause, resume, move a cursor, hand over. Each does the same as the command of that
// name.
import { confirmed } from './confirm.js';
import { byId, element, setText, showList } from './dom.js';
import { get, post } from './request.js';
import { namedSources } from './sources.js';
import { count, sinceAndBy } from './words.js';

let state;

/** Shows the buttons, unless changes are not allowed, and what is paused. */
export function showOperations({ sources, instances, paused, hello }, now) {
  state = { sources, instances };
  byId('operate').hidden = !hello.operable;
  byId('pause-generating').hidden = paused.generating !== null;
  byId('pause-handling').hidden = paused.handling !== null;
  showPaused({ sources, paused, hello }, now);
}

/** Shows what is paused, since when and by whom, each with a button that resumes it. */
function showPaused({ sources, paused, hello }, now) {
  const entries = [
    paused.generating !== null && {
      key: 'generating',
      text: `Generating is paused${sinceAndBy(paused.generating, now)}.`,
      body: { what: 'generating' },
    },
    paused.handling !== null && {
      key: 'handling',
      text: `Handling is paused${sinceAndBy(paused.handling, now)}: no message is handled.`,
      body: { what: 'handling' },
    },
    ...(paused.generating !== null ? [] : namedSources(sources))
      .filter(({ pause }) => pause !== null)
      .map(({ source, pause }) => ({
        key: `source ${source}`,
        text: `Source ${source} is paused${sinceAndBy(pause, now)}.`,
        body: { what: 'generating', source },
      })),
  ].filter(Boolean);
  byId('paused').hidden = entries.length === 0;
  showList(
    byId('paused-list'),
    entries,
    ({ key }) => key,
    ({ key, body }) => {
      const label = `Resume ${key}`;
      const resume = ({ target }) => perform(target, 'resume', body, () => `${label}: done.`);
      const button = element('button', { type: 'button', click: resume }, label);
      return element('li', {}, element('span', {}), ' ', hello.operable ? button : '');
    },
    (item, { text }) => setText(item.querySelector('span'), text),
  );
}

export function setUpOperations() {
  const dialog = byId('operation');
  dialog.addEventListener('click', ({ target }) => {
    if (target instanceof HTMLButtonElement) dialog.close(target.value);
  });
  byId('operation-source').addEventListener('change', () => void showPosition());
  byId('operation-reset').addEventListener('change', ({ target }) => {
    byId('operation-cursor').disabled = target.checked;
  });
  byId('pause-generating').addEventListener('click', ({ target }) => void pauseGenerating(target));
  byId('pause-handling').addEventListener('click', ({ target }) => void pauseHandling(target));
  byId('move-cursor').addEventListener('click', ({ target }) => void moveCursor(target));
  byId('hand-over').addEventListener('click', ({ target }) => void handOver(target));
}

async function pauseGenerating(button) {
  const source = await asked({
    title: 'Pause generating?',
    text: 'Nothing is generated until somebody resumes it, whichever instance leads and whatever is restarted.',
    yes: 'Pause generating',
    all: 'all sources',
  });
  if (source === undefined) return;
  await perform(button, 'pause', { what: 'generating', ...source }, () => 'Generating is paused.');
}

async function pauseHandling(button) {
  const question = {
    title: 'Pause handling?',
    text: 'No instance takes another message until somebody resumes it. Messages that are active are finished.',
    yes: 'Pause handling',
  };
  if (await confirmed(question))
    await perform(button, 'pause', { what: 'handling' }, () => 'Handling is paused.');
}

async function moveCursor(button) {
  const source = await asked({
    title: 'Move the cursor',
    text: 'Generation continues from the new cursor immediately.',
    yes: 'Move…',
    part: 'cursor',
  });
  if (source === undefined) return;
  const reset = byId('operation-reset').checked;
  const cursor = byId('operation-cursor').value.trim();
  if (!reset && !isJson(cursor)) return say('Not done: the new cursor is not JSON.');
  const { answer, problem } = await get(cursorPath(source.source));
  if (problem !== undefined) return say(`Not done: ${problem}`);
  const from = answer.cursor ?? 'none';
  const to = reset ? 'none, the very beginning' : cursor;
  const sure = await confirmed({
    title: 'Move the cursor?',
    text: `From ${from} to ${to}. Moved back, messages that were generated already are generated again, as further messages. Moved forward, those in between are never generated.`,
    yes: 'Move the cursor',
  });
  if (!sure) return;
  const expect = byId('operation-expect').checked ? { expect: answer.cursor } : {};
  const change = { ...source, ...(reset ? { reset } : { cursor }), ...expect };
  await perform(
    button,
    'cursor',
    change,
    (moved) => `The cursor was moved from ${moved.from ?? 'none'} to ${moved.to ?? 'none'}.`,
  );
}

async function handOver(button) {
  const source = await asked({
    title: 'Hand over',
    text: 'Another instance generates from the committed cursor on. No message is lost or repeated.',
    yes: 'Hand over',
    part: 'instance',
  });
  if (source === undefined) return;
  const instance = byId('operation-instance').value;
  await perform(
    button,
    'handover',
    { ...source, ...(instance !== '' && { instance }) },
    ({ leader }) => `${leader} generates now.`,
  );
}

/**
 * Asks for the source, if the sources have names, and for what the action needs. Resolves with the source for the
 * request, or undefined if the user cancels.
 */
async function asked({ title, text, yes, part, all }) {
  const dialog = byId('operation');
  setText(byId('operation-title'), title);
  setText(byId('operation-text'), text);
  setText(dialog.querySelector('.strong'), yes);
  for (const each of dialog.querySelectorAll('[data-part]')) each.hidden = each.dataset.part !== part;
  const named = namedSources(state.sources);
  const choice = byId('operation-source');
  choice.closest('label').hidden = named.length === 0;
  choice.replaceChildren(
    ...(all === undefined ? [] : [element('option', { value: '' }, all)]),
    ...named.map(({ source }) => element('option', { value: source }, source)),
  );
  if (part === 'cursor') {
    byId('operation-reset').checked = false;
    byId('operation-expect').checked = false;
    byId('operation-cursor').disabled = false;
    void showPosition();
  }
  if (part === 'instance') {
    const able = state.instances.filter(({ state: is, generates }) => is === 'alive' && generates);
    byId('operation-instance').replaceChildren(
      element('option', { value: '' }, 'any eligible instance'),
      ...able.map(({ instance }) => element('option', { value: instance }, instance)),
    );
  }
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  if (dialog.returnValue !== 'yes') return undefined;
  return choice.value === '' ? {} : { source: choice.value };
}

const cursorPath = (source) =>
  source === undefined ? 'operate/cursor' : `operate/cursor?source=${encodeURIComponent(source)}`;

/** Fills in the cursor of the chosen source. */
async function showPosition() {
  if (byId('operation-from').closest('[data-part]').hidden) return;
  const source = byId('operation-source').value || undefined;
  setText(byId('operation-from'), '…');
  const { answer, problem } = await get(cursorPath(source));
  if (source !== (byId('operation-source').value || undefined)) return;
  setText(
    byId('operation-from'),
    problem ?? `${answer.cursor ?? 'none'}, after ${count(answer.generated)} messages`,
  );
  byId('operation-cursor').value = answer?.cursor ?? '';
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function perform(button, action, body, resultOf) {
  if (button.ariaDisabled === 'true') return;
  button.ariaDisabled = 'true';
  say('…');
  const { answer, problem } = await post(`operate/${action}`, body);
  say(problem === undefined ? resultOf(answer) : `Not done: ${problem}`);
  button.removeAttribute('aria-disabled');
}

const say = (text) => setText(byId('operate-result'), text);
