import { setUpChart, showChart } from './chart.js';
import { setUpConfirm } from './confirm.js';
import { byId, element, setText } from './dom.js';
import { setUpErrors, showErrors } from './errors.js';
import { showFailures } from './failures.js';
import { boardOf, showInstances } from './instances.js';
import { setUpOperations, showOperations } from './operate.js';
import { namedSources, showSources } from './sources.js';
import { follow } from './stream.js';
import { newsOf, showGenerator, showTerms } from './terms.js';
import { age, clock, count } from './words.js';

/** The state of the group. Sections arrive when they change. */
let state = {};
/** Redis's clock minus this browser's clock, in milliseconds. */
let ahead = 0;
let lost;

setUpChart();
setUpConfirm();
setUpErrors();
setUpOperations();
setInterval(tick, 1000);
void follow(onFrame, onLost);

function onFrame({ now, ...sections }) {
  // The program was updated after this page was loaded: the format of its frames might have changed.
  const { hello } = sections;
  if (hello !== undefined && state.hello !== undefined && hello.version !== state.hello.version)
    location.reload();
  const before = state.leader === undefined ? undefined : state;
  state = { ...state, trouble: undefined, ...sections };
  if (now !== undefined) ahead = now - Date.now();
  lost = undefined;
  showConnection();
  // While Redis is unreachable, the current state is unknown: keep what is shown.
  if (state.leader === undefined || state.trouble !== undefined) return;
  show();
  const news = newsOf(before, state);
  if (news !== undefined) setText(byId('news'), news);
}

function onLost(reason) {
  if (lost === undefined || lost.reason.kind !== reason.kind || reason.kind === 'refused') {
    lost = { reason, since: lost?.since ?? Date.now() };
  }
  showConnection();
}

/** Updates the durations that grow every second. */
function tick() {
  if (lost !== undefined || state.trouble !== undefined) showConnection();
  else if (state.leader !== undefined) showTimes();
}

const redisNow = () => Date.now() + ahead;

function show() {
  const { hello, messages } = state;
  setText(byId('namespace'), hello.namespace);
  byId('seen-from').hidden = false;
  setText(byId('seen-from').querySelector('strong'), hello.instance);
  for (const place of byId('figures').querySelectorAll('[data-figure]')) {
    const { figure } = place.dataset;
    setText(place, count(messages[figure]));
    if (figure === 'failed') place.classList.toggle('some', messages.failed > 0);
  }
  showTimes();
  showSources(state, redisNow());
  showTerms(state, redisNow());
  showErrors(state, redisNow());
  showChart(state, redisNow());
  document.title = `${hello.namespace}: ${titleOf(state)}`;
}

function titleOf({ leader, sources }) {
  const named = namedSources(sources);
  const led = named.filter((each) => each.leader !== null).length;
  if (named.length > 0) return `${led} of ${named.length} sources`;
  return leader.instance === undefined ? 'no generator' : `${leader.instance} generates`;
}

function showTimes() {
  showGenerator(state, redisNow());
  showFailures(state, redisNow());
  showOperations(state, redisNow());
  showInstances(state, redisNow());
}

/** Shows whether the page is up to date and, if it is not, since when. */
function showConnection() {
  const kind = lost !== undefined ? 'lost' : state.trouble !== undefined ? 'trouble' : 'live';
  document.body.dataset.connection = kind;
  setText(byId('connection'), { live: 'live', lost: 'not connected', trouble: 'Redis away' }[kind]);
  const notice = byId('notice');
  notice.hidden = kind === 'live';
  byId('notice-links').hidden = true;
  if (kind === 'trouble') {
    const { text, since } = state.trouble;
    setText(
      byId('notice-text'),
      `Redis has been unavailable since ${clock(since)}: ${text}. The page shows the state at that time.`,
    );
  }
  if (kind === 'lost') showLost();
}

function showLost() {
  const { reason, since } = lost;
  const name =
    state.hello === undefined
      ? 'the instance that serves this page'
      : `the instance that serves this page, ${state.hello.instance},`;
  const shown = state.leader === undefined ? '' : ' The page shows the state at that time.';
  const texts = {
    goodbye: `${capital(name)} was stopped at ${clock(since)}.${shown}`,
    gone: `${capital(name)} has not answered since ${clock(since)}.${shown}`,
    refused: `${capital(name)} refused the connection: ${reason.text || `status ${reason.status}`}${shown}`,
  };
  // The duration is not part of the notice: the notice is an alert, which screen readers would read out again.
  setText(byId('notice-text'), texts[reason.kind]);
  setText(byId('connection'), `not connected for ${age(Date.now() - since)}`);
  const others = (state.instances ?? []).flatMap((instance) => {
    const url = instance.instance === state.hello.instance ? undefined : boardOf(instance, state.hello);
    return url === undefined ? [] : [element('a', { href: url }, instance.instance)];
  });
  byId('notice-links').hidden = others.length === 0;
  const place = byId('notice-links').querySelector('span');
  if (place.childElementCount === others.length) return;
  place.replaceChildren(...others.flatMap((link, index) => (index === 0 ? [link] : [', ', link])));
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
