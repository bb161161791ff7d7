import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { axeFaults, chromiumPath, launchChromium, openPage, type WatchedPage } from '../helpers/browser';
import { jobCounts } from '../helpers/history';
import { type InstanceProcess, killAll, startInstance } from '../helpers/instance';
import { freePort, type RedisServer, startRedis } from '../helpers/redisServer';
import { waitFor } from '../helpers/waitFor';

/* The live view and Bull Board as users see them: a real browser, three real instances and hostile messages. */

const executablePath = chromiumPath();
const inBrowser = executablePath === undefined ? describe.skip : describe;

/** Markup without spaces, since names cannot contain any. */
const NAMES = ['a', '<img/src=x/onerror=alert(3)>', 'c'];
/** Those of the forty messages of the task that fail. */
const ERRORS = 8;

let redis: RedisServer;
let directory: string;
let mended: string;
let browser: Browser;
let group: Map<string, { process: InstanceProcess; port: number }>;
let pages: WatchedPage[];

beforeEach(() => {
  pages = [];
});

afterEach(async () => {
  await Promise.all(pages.map(({ page }) => page.close()));
});

inBrowser('to look at', () => {
  beforeAll(startGroup);
  afterAll(endGroup);

  it('the page shows three instances and one generator, and renders messages as text only', async () => {
    const { page, faults } = await open('a');
    await page.locator('.instances tr.leads').waitFor();
    expect(await page.locator('#instances .name').allTextContents()).toEqual(NAMES);
    expect(await page.locator('#instances tr.leads').count()).toBe(1);
    expect(await page.locator('#generator').textContent()).toBe(
      await page.locator('#instances tr.leads .name').textContent(),
    );
    await page
      .locator('#errors > li')
      .nth(ERRORS - 1)
      .waitFor();
    const text = await page.locator('#errors .text').first().textContent();
    expect(text).toMatch(/^<svg\/onload=alert\(2\)>: \d+: <img src=x onerror=alert\(1\)><\/script><script>/);
    const data = await page.locator('#errors .data').first().textContent();
    expect(data).toContain('<img src=x onerror=alert(1)>');
    const figure = async (name: string) =>
      Number(await page.locator(`[data-figure="${name}"]`).textContent());
    expect([await figure('failed'), await figure('completed')]).toEqual([ERRORS, 40 - ERRORS]);
    // A click unfolds the stack.
    await page.locator('#errors summary').first().click();
    const stack = await page.locator('#errors pre').first().textContent();
    expect(stack).toMatch(/at .*hostileTask\.mjs/);
    expect(await page.locator('main img, main svg[onload], main script').count()).toBe(0);
    expect(faults).toEqual([]);
    // Anything that turns text into markup throws.
    await expect(page.evaluate("document.body.innerHTML = '<b>x</b>'")).rejects.toThrow(/TrustedHTML/);
  });

  it.each([
    ['light', 1200],
    ['dark', 360],
  ] as const)(
    'axe finds no serious violation in %s at %i pixels, and nothing is cut off',
    async (scheme, width) => {
      const { page, faults } = await open('a', '/', {
        colorScheme: scheme,
        viewport: { width, height: 800 },
      });
      await page
        .locator('#errors > li')
        .nth(ERRORS - 1)
        .waitFor();
      await page.getByText('Show as a table').click();
      await page.locator('#minutes tr').first().waitFor();
      expect(await axeFaults(page)).toEqual([]);
      await page.getByRole('button', { name: 'Clear all' }).click();
      expect(await axeFaults(page)).toEqual([]);
      await page.keyboard.press('Escape');
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      expect(faults).toEqual([]);
    },
  );

  it('the numbers shown are correct, and links only lead to existing pages', async () => {
    const { page } = await open('a');
    const script = readFileSync(resolve('__tests__/fixtures/pageModules.mjs'), 'utf8');
    const run = `${script.replace('export ', '')}\ncheckModules()`;
    expect(await page.evaluate(run)).toEqual({
      runs: [2, 3],
      rates: [
        [10, 10],
        [4, 4, 6.7],
      ],
      minutes: [90],
      // The minute of the samples is before the window.
      minutesInWindow: 0,
      // An outage that is longer than everything after it does not fill the chart.
      spans: [120_000, 120_000],
      boards: [
        'http://127.0.0.1:3001/',
        undefined,
        'http://elsewhere:3001/',
        'http://192.0.2.1:3001/',
        'http://127.0.0.1:3001/',
        ...[undefined, undefined, undefined],
      ],
      behindAProxy: undefined,
      // A number and its unit stay on one line.
      durations: ['0_ms', '999_ms', '1.0_s', '9.9_s', '12_s', '2_min', '2_h', '2_days'].map((text) =>
        text.replace('_', '\u00a0'),
      ),
    });
  });

  it('a read-only page offers no changes', async () => {
    await joinGroup('reader', undefined, { BOARD_READ_ONLY: 'true' });
    const { page, faults } = await open('reader');
    await page
      .locator('#errors > li')
      .nth(ERRORS - 1)
      .waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
    expect(faults).toEqual([]);
  });

  it('the page works with a password, including one in the address', async () => {
    await joinGroup('locked', undefined, { BOARD_USER: 'ops', BOARD_PASSWORD: 'secret' });
    const { port } = group.get('locked')!;
    const { page, faults } = await openAt(`http://ops:secret@127.0.0.1:${port}/`);
    await page
      .locator('#errors > li')
      .nth(ERRORS - 1)
      .waitFor();
    await page
      .getByRole('button', { name: /^Clear message/ })
      .first()
      .click();
    await waitFor(async () => (await recorded()) === ERRORS - 1, 'a record to go');
    expect(faults).toEqual([]);
  });
});

inBrowser('as things happen', () => {
  beforeEach(startGroup);
  afterEach(endGroup);

  it('the leader mark moves within a second of a kill -9, without a reload, and the page says why', async () => {
    const times: number[] = [];
    // The machine might be busy, so take the better of two attempts.
    for (const victims: string[] = []; victims.length < 2 && !times.some((ms) => ms < 1000);) {
      const generator = (await redis.client.hget('{nic}:leader', 'instance'))!;
      const { page, faults } = await open(
        NAMES.find((name) => name !== generator && !victims.includes(name))!,
      );
      await page.locator('#instances tr.leads').waitFor();
      await page.evaluate('globalThis.notReloaded = true');
      const whole = new RegExp(`^${generator.replace(/[^a-z]/g, '\\$&')}$`);
      const moved = page.locator('#instances tr.leads .name').filter({ hasNotText: whole }).waitFor();
      const killedAt = performance.now();
      group.get(generator)!.process.signal('SIGKILL');
      victims.push(generator);
      await moved;
      times.push(performance.now() - killedAt);
      expect(await page.evaluate('globalThis.notReloaded')).toBe(true);
      await page.locator('#instances tr.dead').first().waitFor();
      expect(await page.locator('#instances tr.dead .name').first().textContent()).toBe(victims[0]);
      const successor = await redis.client.hget('{nic}:leader', 'instance');
      expect(await page.locator('#generator').textContent()).toBe(successor);
      expect(await page.locator('#terms tr.leads').textContent()).toMatch(/crash\d+\sms/);
      // Announced once to screen readers.
      const news = /is the generator now, term \d, after a crash, \d+\sms without a leader\./;
      const announced = page.getByRole('status').first();
      await announced.filter({ hasText: news }).waitFor({ state: 'attached' });
      expect(await announced.textContent()).toMatch(news);
      expect(faults).toEqual([]);
    }
    expect(Math.min(...times)).toBeLessThan(1000);
  });

  it('a page says that its instance is gone, marks stale data, and recovers by itself', async () => {
    const { page } = await open('a');
    await page.locator('body[data-connection=live]').waitFor();
    await waitFor(async () => (await page.locator('#instances a').count()) === 2, 'links to the others');
    const { process, port } = group.get('a')!;
    process.signal('SIGKILL');
    await process.exited;
    await page.locator('body[data-connection=lost]').waitFor();
    const notice = page.locator('#notice');
    expect(await notice.textContent()).toMatch(
      /The instance that serves this page, a, has not answered since \d\d:\d\d:\d\d\. The page shows the state at that time\./,
    );
    const links = notice.locator('a');
    expect(await links.allTextContents()).toEqual(NAMES.slice(1));
    expect(await links.first().getAttribute('href')).toBe(`http://127.0.0.1:${group.get(NAMES[1]!)!.port}/`);
    expect(await axeFaults(page)).toEqual([]);

    await joinGroup('a-again', port);
    await page.locator('body[data-connection=live]').waitFor();
    const seenFrom = page.locator('#seen-from strong');
    await waitFor(async () => (await seenFrom.textContent()) === 'a-again', 'its successor');
    expect(await notice.isVisible()).toBe(false);

    group.get('a-again')!.process.signal('SIGTERM');
    await page.getByText(/The instance that serves this page, a-again, was stopped at/).waitFor();
  });

  it('a page says that Redis is unreachable, stops drawing, and continues when Redis is back', async () => {
    const { page } = await open('c');
    await page
      .locator('#errors > li')
      .nth(ERRORS - 1)
      .waitFor();
    redis.process.kill('SIGSTOP');
    await page.locator('body[data-connection=trouble]').waitFor();
    await page.getByText(/Redis has been unavailable since \d\d:\d\d:\d\d: it does not answer/).waitFor();
    const drawn = () => page.locator('#chart-flow .line.completed').getAttribute('d');
    const before = await drawn();
    // Longer than the interval of the repeated message.
    await page.waitForTimeout(5500);
    expect(await drawn()).toBe(before);
    redis.process.kill('SIGCONT');
    await page.locator('body[data-connection=live]').waitFor();
    await waitFor(async () => (await drawn()) !== before, 'the chart to go on');
  });

  it('a successful retry or a clear removes the error, using only the keyboard', async () => {
    const { page, faults } = await open('c');
    await page
      .locator('#errors > li')
      .nth(ERRORS - 1)
      .waitFor();
    writeFileSync(mended, '');
    const first = page.locator('#errors > li').first();
    const id = (await first.locator('.id').textContent())!.replace('message ', '');
    await first.getByRole('button', { name: `Retry message ${id}` }).focus();
    await page.keyboard.press('Enter');
    await page.getByText(`Message ${id}: back in the queue.`).waitFor();
    await waitFor(async () => (await redis.client.hexists('{nic}:errors', id)) === 0, 'its record to go');
    await waitFor(async () => (await page.locator('#errors > li').count()) === ERRORS - 1, 'it to go');
    await waitFor(async () => (await jobCounts(redis.client)).completed === 40 - ERRORS + 1, 'its success');

    // The keyboard focus stays where it was.
    const next = (await page.locator('#errors > li .id').first().textContent())!;
    expect(await focused(page)).toBe(`Retry ${next}`);
    await page.keyboard.press('Tab');
    expect(await focused(page)).toBe(`Clear ${next}`);
    await page.keyboard.press('Enter');
    await waitFor(async () => (await recorded()) === ERRORS - 2, 'another record to go');
    expect((await jobCounts(redis.client)).failed).toBe(ERRORS - 2);

    // Changing all of them requires a confirmation.
    await page.getByRole('button', { name: 'Clear all' }).press('Enter');
    const dialog = page.getByRole('dialog', { name: `Clear ${ERRORS - 2} errors?` });
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    expect(await dialog.isVisible()).toBe(false);
    expect(await recorded()).toBe(ERRORS - 2);
    await page.getByRole('button', { name: 'Retry all' }).press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'Retry all' }).press('Enter');
    await waitFor(async () => (await jobCounts(redis.client)).completed === 39, 'all to succeed');
    await page.getByText('No errors. Messages that have failed are listed here').waitFor();
    expect(await redis.client.exists('{nic}:errors')).toBe(0);
    expect(faults).toEqual([]);
  });

  it('generation can be paused, the cursor moved after a confirmation, and generation resumed', async () => {
    const { page, faults } = await open('c');
    await page.getByRole('button', { name: 'Pause generating' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Pause generating' }).click();
    await page.getByText(/Generating is paused since [\d:]+, by live-view@c\./).waitFor();
    const before = await redis.client.hget('{nic}:cursor', 'cursor');
    await page.getByRole('button', { name: 'Move the cursor' }).click();
    await dialog.getByText(`${before}, after 40 messages`).waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await dialog.getByLabel('New cursor (JSON)').fill('39');
    await dialog.getByRole('button', { name: 'Move…' }).click();
    await page.getByText(`From ${before} to 39.`).waitFor();
    await dialog.getByRole('button', { name: 'Move the cursor' }).click();
    await page.getByText(`The cursor was moved from ${before} to 39.`).waitFor();
    expect(await redis.client.hget('{nic}:cursor', 'cursor')).toBe('39');
    await page.getByText('by hand').first().waitFor();
    await page.getByRole('button', { name: 'Resume generating' }).click();
    await waitFor(async () => (await redis.client.exists('{nic}:paused')) === 0, 'generating to go on');
    await page.getByRole('button', { name: 'Pause generating' }).waitFor();
    expect(faults).toEqual([]);
  });

  it('in Bull Board a retry also removes errors, markup is shown as text, and a link leads back', async () => {
    const { page, faults } = await open('c', '/board/queue/messages?status=failed');
    await page.getByText('<img src=x onerror=alert(1)>').first().waitFor();
    await page.getByRole('tab', { name: 'Data' }).first().click();
    await page.getByText('onerror=alert(1)').first().waitFor();
    expect(await page.locator('img[src=x], svg[onload]').count()).toBe(0);
    expect(await page.title()).toContain('node-instances-communication · nic');

    writeFileSync(mended, '');
    await page.getByRole('button', { name: 'Retry all' }).click();
    await page.getByRole('button', { name: /confirm/i }).click();
    await waitFor(async () => (await recorded()) === 0, 'the records to go');
    await waitFor(async () => (await jobCounts(redis.client)).completed === 40, 'all to succeed');

    await page.getByRole('link', { name: 'Live view' }).click();
    await page.locator('body[data-connection=live]').waitFor();
    await page.getByRole('link', { name: 'Bull Board' }).click();
    await page.getByRole('link', { name: 'messages' }).first().waitFor();
    expect(faults).toEqual([]);
  });
});

async function startGroup(): Promise<void> {
  browser = await launchChromium(executablePath!);
  redis = await startRedis();
  directory = mkdtempSync(join(tmpdir(), 'nic-live-'));
  mended = join(directory, 'mended');
  group = new Map();
  for (const name of NAMES) await joinGroup(name);
  await waitFor(async () => (await jobCounts(redis.client)).completed === 40 - ERRORS, 'all successes');
  await waitFor(async () => (await recorded()) === ERRORS, 'all failures');
}

async function endGroup(): Promise<void> {
  await browser.close();
  await killAll();
  await redis.stop();
  rmSync(directory, { recursive: true });
}

/** Starts another instance, with a board. */
async function joinGroup(name: string, port?: number, env: Record<string, string> = {}): Promise<void> {
  const process = startInstance({
    REDISURL: redis.url,
    INSTANCE_NAME: name,
    TASK: resolve('__tests__/fixtures/hostileTask.mjs'),
    MENDED: mended,
    BOARD: 'on',
    BOARD_PORT: String(port ?? (await freePort())),
    ...env,
  });
  const { url } = await process.logged((line) => line.message.startsWith('board '));
  group.set(name, { process, port: Number(new URL(String(url)).port) });
}

function open(name: string, path = '/', options?: Parameters<Browser['newPage']>[0]): Promise<WatchedPage> {
  return openAt(`http://127.0.0.1:${group.get(name)!.port}${path}`, options);
}

async function openAt(url: string, options?: Parameters<Browser['newPage']>[0]): Promise<WatchedPage> {
  const watched = await openPage(browser, url, options);
  pages.push(watched);
  return watched;
}

const focused = (page: Page) => page.evaluate<string>("document.activeElement?.getAttribute('aria-label')");

const recorded = () => redis.client.hlen('{nic}:errors');
