import { setUpChart, showChart } from './chart.js';
import { byId, element, setText } from './dom.js';
import { setUpErrors, showErrors } from './errors.js';
import { boardOf, showInstances } from './instances.js';
import { follow } from './stream.js';
import { newsOf, showGenerator, showTerms } from './terms.js';
import { age, clock, count } from './words.js';

/** What is known of the group: sections arrive when they change. */
let state = {};
/** Redis's clock less this browser's, in milliseconds: what is stamped there is read here. */
let ahead = 0;
let lost;

setUpChart();
setUpErrors();
setInterval(tick, 1000);
void follow(onFrame, onLost);

function onFrame({ now, ...sections }) {
  // Loaded before an update of the program: what it sends may mean something else by now.
  const { hello } = sections;
  if (hello !== undefined && state.hello !== undefined && hello.version !== state.hello.version)
    location.reload();
  const before = state.leader;
  state = { ...state, trouble: undefined, ...sections };
  if (now !== undefined) ahead = now - Date.now();
  lost = undefined;
  showConnection();
  // While Redis is away nothing is known of this moment: what is there stays as it is.
  if (state.leader === undefined || state.trouble !== undefined) return;
  show();
  const news = sections.leader === undefined ? undefined : newsOf(before, state);
  if (news !== undefined) setText(byId('news'), news);
}

function onLost(reason) {
  if (lost === undefined || lost.reason.kind !== reason.kind || reason.kind === 'refused') {
    lost = { reason, since: lost?.since ?? Date.now() };
  }
  showConnection();
}

/** What grows older by itself. */
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
    setText(place, count(messages[place.dataset.figure]));
  }
  byId('figures').classList.toggle('paused', messages.paused);
  showTimes();
  showTerms(state, redisNow());
  showErrors(state, redisNow());
  showChart(state, redisNow());
  const who = state.leader.instance ?? 'nobody';
  document.title = `${hello.namespace}: ${who} generates`;
}

function showTimes() {
  showGenerator(state, redisNow());
  showInstances(state, redisNow());
}

/** Whether what is on the page is how things are. Where it is not, it says so and since when. */
function showConnection() {
  const kind = lost !== undefined ? 'lost' : state.trouble !== undefined ? 'trouble' : 'live';
  document.body.dataset.connection = kind;
  const paused = kind === 'live' && state.messages?.paused === true;
  setText(byId('connection'), { live: 'live', lost: 'not connected', trouble: 'Redis away' }[kind]);
  const notice = byId('notice');
  notice.hidden = kind === 'live' && !paused;
  byId('notice-links').hidden = true;
  if (paused)
    setText(
      byId('notice-text'),
      'The queue is paused: nothing is handed out until somebody resumes it in Bull Board.',
    );
  if (kind === 'trouble') {
    const { text, since } = state.trouble;
    setText(
      byId('notice-text'),
      `Redis can not be read since ${clock(since)}: ${text}. What is below is how things were then.`,
    );
  }
  if (kind === 'lost') showLost();
}

function showLost() {
  const { reason, since } = lost;
  const name =
    state.hello === undefined
      ? 'this page’s instance'
      : `the instance of this page, ${state.hello.instance},`;
  const shown = state.leader === undefined ? '' : ' What is below is how things were then.';
  const texts = {
    goodbye: `${capital(name)} was stopped at ${clock(since)}.${shown}`,
    gone: `${capital(name)} does not answer since ${clock(since)}.${shown}`,
    refused: `${capital(name)} refuses: ${reason.text || `status ${reason.status}`}${shown}`,
  };
  // For how long is seen, not read out: the notice is an alert.
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
