// Checks that logs are traces of the protocol (protocol.pml): the model must allow each logged step
// after the lines before it.

/**
 * @typedef {{ kind: string, instance: string, source?: string, term: number, generated: number, messages: number }} Event
 * @typedef {{ terms?: readonly { term: number, instance: string }[], cursor?: { generated: number } }} Stored
 */

/**
 * The log of each instance is in order; lines of different instances are not compared by their
 * times, since clocks differ. Rules between instances follow from the numbers: terms are taken once, and the
 * commits of all terms, sorted by their counts, have terms that never decrease and counts without a gap.
 *
 * @param {readonly any[]} lines parsed log lines, of one instance in order; of several in any order between them
 * @param {Stored} [stored] the final data in Redis: the history of terms, in any order, and the cursor
 * @param {{ source?: string, lossless?: boolean }} [options] `source`: only this source; without it, lines that name none.
 * `lossless`: false if Redis might have lost writes, so that terms and counts can repeat
 * @returns {string[]} the steps that the model does not allow; empty if it allows all of them
 */
function checkTrace(lines, { terms = [], cursor } = {}, { source, lossless = true } = {}) {
  const wrong = /** @type {string[]} */ ([]);
  const trace = lines
    .map(eventOf)
    .filter((event) => event !== undefined)
    .filter((event) => event.source === source);
  const groups = groupBy(trace, ({ instance }) => instance);
  for (const [instance, events] of groups) wrong.push(...checkInstance(instance, events, lossless));
  if (lossless) wrong.push(...checkTerms(trace, terms), ...checkCommits(trace, cursor));
  return wrong;
}

const MESSAGES = /** @type {[RegExp, string][]} */ ([
  [/^elected\b/, 'elected'],
  [/^stepped down\b/, 'steppedDown'],
  [/^committed$/, 'committed'],
  [/^generating$/, 'generating'],
]);

/** @returns {Event | undefined} */
function eventOf(/** @type {any} */ line) {
  const { message, instance = '', role, term, generated, messages } = line;
  const kind = MESSAGES.find(([pattern]) => pattern.test(message ?? ''))?.[1];
  // The keeper is elected too, but commits nothing. Whoever could not take its term leads none.
  if (kind === undefined || role === 'keeper' || term === undefined) return undefined;
  const source = line.source ?? /^generator:(.*)/s.exec(role ?? '')?.[1];
  return { kind, instance, source, term, generated, messages };
}

/** One instance commits only while it leads, from the position that it read, and each batch follows the previous one. */
function checkInstance(
  /** @type {string} */ instance,
  /** @type {Event[]} */ events,
  /** @type {boolean} */ lossless,
) {
  const wrong = /** @type {string[]} */ ([]);
  let term = /** @type {number | undefined} */ (undefined);
  let newest = 0;
  let position = /** @type {number | undefined} */ (undefined);
  for (const event of events) {
    const where = `${instance}, term ${event.term}`;
    if (event.kind === 'elected') {
      if (term !== undefined) wrong.push(`${where}: elected while it led term ${term}`);
      if (lossless && event.term <= newest) wrong.push(`${where}: elected after it had led term ${newest}`);
      newest = term = event.term;
      position = undefined;
      continue;
    }
    if (event.term !== term) {
      wrong.push(`${where}: ${event.kind} while it led ${term === undefined ? 'no term' : `term ${term}`}`);
      continue;
    }
    if (event.kind === 'steppedDown') term = undefined;
    if (event.kind === 'generating') position = event.generated;
    if (event.kind === 'committed') {
      if (position === undefined) wrong.push(`${where}: committed before it had read the position`);
      else if (position + event.messages !== event.generated) {
        wrong.push(
          `${where}: committed ${event.messages} after ${position}, which is not ${event.generated}`,
        );
      }
      position = event.generated;
    }
  }
  return wrong;
}

/** No term belongs to two instances, in the logs and in Redis. */
function checkTerms(
  /** @type {Event[]} */ trace,
  /** @type {readonly { term: number, instance: string }[]} */ terms,
) {
  const wrong = /** @type {string[]} */ ([]);
  const owners = new Map(terms.map(({ term, instance }) => [term, instance]));
  for (const { kind, term, instance } of trace) {
    if (kind !== 'elected') continue;
    const owner = owners.get(term);
    if (owner !== undefined && owner !== instance)
      wrong.push(`term ${term} belongs to ${owner} and to ${instance}`);
    owners.set(term, instance);
  }
  return wrong;
}

/** Checks all commits in the order of their counts: no message counts twice, no older term follows a newer one. */
function checkCommits(/** @type {Event[]} */ trace, /** @type {Stored['cursor']} */ cursor) {
  const wrong = /** @type {string[]} */ ([]);
  const commits = trace
    .filter(({ kind }) => kind === 'committed')
    .sort((a, b) => a.generated - b.generated || a.term - b.term);
  let before = /** @type {Event | undefined} */ (undefined);
  for (const commit of commits) {
    // A batch without messages only moves the cursor.
    const start = commit.generated - commit.messages;
    if (before !== undefined && commit.term < before.term) {
      wrong.push(
        `term ${commit.term} (${commit.instance}) committed ${commit.generated} after term ${before.term} had committed ${before.generated}`,
      );
    }
    if (before !== undefined && commit.messages > 0 && start < before.generated) {
      wrong.push(
        `${commit.generated} (${commit.instance}, term ${commit.term}) overlaps with ${before.generated} (${before.instance}, term ${before.term})`,
      );
    }
    before = commit;
  }
  // A commit without a log line is possible: its instance was killed before logging it. One missing in Redis is not.
  if (cursor !== undefined && before !== undefined && before.generated > cursor.generated) {
    wrong.push(`${before.generated} were committed, and Redis counts ${cursor.generated}`);
  }
  for (const { kind, generated, instance, term } of trace) {
    if (kind !== 'generating') continue;
    const inside = commits.find(
      (commit) => commit.generated > generated && commit.generated - commit.messages < generated,
    );
    if (inside !== undefined)
      wrong.push(`${instance}, term ${term}: started from ${generated}, in the middle of a batch`);
    const later = commits.find((commit) => commit.term < term && commit.generated > generated);
    if (later !== undefined)
      wrong.push(
        `${instance}, term ${term}: started from ${generated}, and term ${later.term} has committed ${later.generated}`,
      );
  }
  return wrong;
}

function groupBy(/** @type {Event[]} */ items, /** @type {(item: Event) => string} */ keyOf) {
  const groups = /** @type {Map<string, Event[]>} */ (new Map());
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/**
 * Returns the log lines of a file that are JSON; a killed instance can leave a partial line.
 *
 * @returns {any[]}
 */
function parseLog(/** @type {string} */ text) {
  return text.split('\n').flatMap((line) => {
    try {
      const parsed = JSON.parse(line);
      return parsed !== null && typeof parsed === 'object' ? [parsed] : [];
    } catch {
      return [];
    }
  });
}

module.exports = { checkTrace, eventOf, parseLog };
