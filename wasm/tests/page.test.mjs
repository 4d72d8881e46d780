// Pages and workers in Chromium: a tab as a Home, and as a caller.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  LONG, Main, browse, output, packageFolder, picture, root, serve, tab, until,
} from './world.mjs';

describe('page', { timeout: LONG * 3 }, () => {
  let main, site, browser;

  before(async () => {
    site = await serve({
      '/pkg/': packageFolder,
      '/target/wasm-package/': packageFolder,
      '/examples/': path.join(root, 'examples'),
      '/tests/': path.join(root, 'wasm/tests'),
    });
    main = await Main.start(site);
    browser = await browse();
  });

  after(async () => {
    await browser?.close();
    await site?.stop();
    await main?.stop();
  });

  test('curl adds a note, and the page shows it', async () => {
    const page = await browser.newPage();
    await page.setViewport({ width: 760, height: 420 });
    await page.goto(`${site.url}/examples/browser/notes.html?main=${main.ws}`);
    await main.offers('notes');
    const add = (text) => {
      const params = { jsonrpc: '2.0', id: 7, method: 'notes.add', params: { text } };
      const header = 'Content-Type: application/json';
      const words = ['-s', `${main.http}/rpc`, '-H', header, '-d', JSON.stringify(params)];
      return output('curl', words).then(JSON.parse);
    };
    assert.deepEqual(await add('Buy milk'), { jsonrpc: '2.0', id: 7, result: { count: 1 } });
    assert.equal((await add('Call Ada: “the engine weaves”')).result.count, 2);
    assert.equal((await add(3)).error.code, -32602);
    const shown = await page.$$eval('#notes li', (items) => items.map((item) => item.textContent));
    assert.deepEqual(shown, ['Buy milk', 'Call Ada: “the engine weaves”']);
    await until('the page says that it is linked', () =>
      page.$eval('#state', (state) => state.className === 'connected'));
    await picture(page, 'notes');
    await page.close();
    await main.offers('notes', false);
  });

  test('a page calls, streams and cancels', async () => {
    const home = await tab(browser, site);
    await home.evaluate(async (main) => {
      const home = await relay.Home.connect(main, { nodeId: 'tab' });
      globalThis.log = [];
      await home.register('clock', {
        async *tick(count) {
          for (let n = 0; n < count; n += 1) yield n;
          return 'over';
        },
        wait: (params, { signal }) =>
          new Promise((resolve) => signal.addEventListener('abort', () => resolve(log.push('told')))),
      });
    }, main.ws);
    await main.offers('clock');
    const caller = await tab(browser, site);
    const seen = await caller.evaluate(async (main) => {
      const client = await relay.Client.connect(main);
      const chunks = [];
      const stream = client.stream('clock.tick', 100);
      for await (const n of stream) chunks.push(n);
      const failed = await client.call('clock.none').catch((error) => error);
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 50);
      const aborted = await client
        .call('clock.wait', null, { signal: controller.signal })
        .catch((error) => error.name);
      const kind = failed instanceof relay.RelayError;
      return { chunks, result: await stream.result, kind, code: failed.code, aborted };
    }, main.ws);
    assert.deepEqual(seen.chunks, [...Array(100).keys()]);
    assert.deepEqual([seen.result, seen.kind, seen.code], ['over', true, 'NO_SUCH_METHOD']);
    assert.equal(seen.aborted, 'AbortError');
    await until('the handler is told', () => home.evaluate(() => log.includes('told')));
    await home.close();
    await caller.close();
  });

  test('a page subscribes, its Main is killed, and the subscription stands again', async () => {
    const page = await tab(browser, site);
    await page.evaluate(async (main) => {
      globalThis.home = await relay.Home.connect(main, { nodeId: 'listener' });
      globalThis.seen = [];
      globalThis.stands = 0;
      home.addEventListener('subscribed', ({ pattern }) => (stands += pattern === 'weather.**'));
      const subscription = home.subscribe('weather.**', ({ topic, value, gap }) => {
        seen.push({ topic, value, gap });
        document.title = `${topic}: ${value.sky}`;
      });
      await subscription.ready();
    }, main.ws);
    const other = await tab(browser, site);
    await other.evaluate(async (main) => {
      globalThis.client = await relay.Client.connect(main);
      for (let n = 0; n < 50; n += 1) await client.publish('weather.oslo', { sky: 'grey', n });
    }, main.ws);
    const seen = (count) => until('it comes', () =>
      page.evaluate((count) => seen.length === count && seen, count));
    const first = await seen(50);
    assert.deepEqual(first.map(({ value }) => value.n), [...Array(50).keys()]);
    assert.ok(first.every(({ topic, gap }) => topic === 'weather.oslo' && gap === 0));
    assert.equal(await page.title(), 'weather.oslo: grey');
    await main.kill();
    await until('the links are lost', async () =>
      !(await page.evaluate(() => home.isConnected)) &&
      !(await other.evaluate(() => client.isConnected)));
    const refused = await other.evaluate(() =>
      client.publish('weather.oslo', 1).catch(({ code, executed }) => [code, executed]));
    assert.deepEqual(refused, ['UNAVAILABLE', 'no']);
    await main.again();
    await page.evaluate(() => home.wake());
    await other.evaluate(() => client.wake());
    await until('the subscription stands again', () => page.evaluate(() => stands === 2));
    await other.evaluate(async () => {
      await client.connected();
      await client.publish('weather.oslo', { sky: 'clear' });
    });
    // What was refused was never sent: no number is missing.
    const [last] = (await seen(51)).slice(-1);
    assert.deepEqual(last, { topic: 'weather.oslo', value: { sky: 'clear' }, gap: 0 });
    await page.close();
    await other.close();
  });

  test('a worker is a Home and a caller', async () => {
    const page = await browser.newPage();
    await page.goto(`${site.url}/empty.html`);
    await page.evaluate((main) => {
      globalThis.said = [];
      globalThis.worker = new Worker('/tests/worker.mjs', { type: 'module' });
      worker.onmessage = ({ data }) => said.push(data);
      worker.postMessage(main);
    }, main.ws);
    await main.offers('in-worker');
    assert.deepEqual((await main.rpc('in-worker.double', [21])).result, 42);
    assert.deepEqual(await until('the worker called itself', () => page.evaluate(() => said[0])), 8);
    await page.close();
  });

  test('a frozen tab is missed, and registers again as soon as it runs', async () => {
    const page = await tab(browser, site);
    await page.evaluate(async (main) => {
      globalThis.home = await relay.Home.connect(main, { nodeId: 'sleeper' });
      await home.register('sleepy', { hello: () => 'awake' });
    }, main.ws);
    await main.offers('sleepy');
    const session = await page.createCDPSession();
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    // The Main hears nothing, pings, hears nothing and gives the link up.
    await main.offers('sleepy', false);
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await main.offers('sleepy');
    assert.equal((await main.rpc('sleepy.hello', [])).result, 'awake');
    await page.close();
  });

  test('the network comes back, and nobody waits for the end of a pause', async () => {
    const page = await tab(browser, site);
    await page.evaluate(async (main) => {
      globalThis.pauses = [];
      globalThis.home = await relay.Home.connect(main, { nodeId: 'traveller' });
      await home.register('suitcase', { open: () => 'socks' });
      home.addEventListener('retrying', ({ pause }) => pauses.push(pause));
      await home.connected();
    }, main.ws);
    await main.offers('suitcase');
    await main.kill();
    // Pauses are drawn by lot up to a bound that grows; this one is too long to be waited for.
    await until('a long pause', () => page.evaluate(() => pauses.at(-1) > 8_000));
    await main.again();
    const begun = Date.now();
    await page.evaluate(() => dispatchEvent(new Event('online')));
    await page.evaluate(() => home.connected());
    const took = Date.now() - begun;
    const pause = await page.evaluate(() => pauses.at(-1));
    assert.ok(took < pause, `linked after ${took} ms, with ${pause} ms to wait`);
    await main.offers('suitcase');
    await page.close();
  });
});
