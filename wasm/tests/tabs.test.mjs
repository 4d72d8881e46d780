// Several tabs with one Home.

import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import { LONG, Main, browse, packageFolder, relay, serve, tab, tool, until } from './world.mjs';

describe('tabs', { timeout: LONG * 4 }, () => {
  let main, site, browser, other, tabs, group;
  /** Calls that run at the Home in this process, each with what ends it. */
  const running = [];
  let ran = 0;
  let count = 0;

  before(async () => {
    site = await serve({ '/pkg/': packageFolder });
    main = await Main.start(site);
    browser = await browse();
    const { Home } = await relay();
    const { default: WebSocket } = await tool('ws');
    other = await Home.connect(main.ws, { WebSocket, nodeId: 'other' });
    await other.register('slow', {
      wait: () => {
        ran += 1;
        return new Promise((resolve) => running.push(resolve));
      },
      async *count(to) {
        for (let n = 0; n < to; n += 1) yield n;
        return 'over';
      },
      echo: (params) => params,
    });
    await main.offers('slow');
  });

  after(async () => {
    await other?.close(0);
    await browser?.close();
    await site?.stop();
    await main?.stop();
  });

  beforeEach(() => {
    tabs = [];
    running.length = 0;
    ran = 0;
    group = `group-${++count}`;
  });

  afterEach(async () => {
    for (const page of tabs) if (!page.isClosed()) await page.close();
  });

  async function join(id) {
    const page = await tab(browser, site);
    tabs.push(page);
    await page.evaluate(async (main, name, id) => {
      globalThis.home = await relay.SharedHome.connect(main, { nodeId: name, name });
      globalThis.answers = [];
      globalThis.served = [];
      globalThis.ask = (target, options) =>
        home.call(target, id, options).then(
          (result) => answers.push({ result }),
          ({ code, executed, message }) => answers.push({ code, executed, message }),
        );
      await home.register(`of-${id}-${name}`, {
        hello: () => `hello from ${id}`,
        hang: (params, { signal }) => {
          served.push('begun');
          return new Promise((resolve) => signal.addEventListener('abort', () => {
            served.push('aborted');
            resolve();
          }));
        },
        async *count(to) {
          for (let n = 0; n < to; n += 1) yield n;
          return id;
        },
        sum: async (params, { chunks, send }) => {
          let sum = 0;
          for await (const n of chunks) await send((sum += n));
          return sum;
        },
        fail: () => {
          throw Object.assign(new Error(`not ${id}`), { code: 5 });
        },
      });
      await home.connected();
    }, main.ws, group, id);
    return page;
  }

  const leads = (page) => page.evaluate(() => home.isLeader);
  const answers = (page) => until('an answer', () => page.evaluate(() => answers[0]));
  const ask = (page, target, options) =>
    page.evaluate((target, options) => void ask(target, options), target, options);

  test('two tabs are one node, and each is called through the one with the link', async () => {
    const first = await join('a');
    const second = await join('b');
    assert.deepEqual([await leads(first), await leads(second)], [true, false]);
    const ids = await Promise.all([first, second].map((page) => page.evaluate(() => home.nodeId)));
    assert.deepEqual(ids, [group, group]);
    for (const id of ['a', 'b']) {
      await main.offers(`of-${id}-${group}`);
      const call = (method, params) => main.rpc(`of-${id}-${group}.${method}`, params);
      assert.equal((await call('hello', [])).result, `hello from ${id}`);
      assert.deepEqual((await call('fail', [])).error, { code: 5, message: `not ${id}` });
      assert.equal((await call('none', [])).error.data.code, 'NO_SUCH_METHOD');
    }
  });

  test('calls and streams of a tab without the link pass in both directions', async () => {
    await join('a');
    const second = await join('b');
    const seen = await second.evaluate(async () => {
      const chunks = [];
      const stream = home.stream('slow.count', 50);
      for await (const n of stream) chunks.push(n);
      return {
        chunks,
        result: await stream.result,
        echo: await home.call('slow.echo', { deep: [1, 2] }),
        error: await home.call('nobody.x').catch(({ code, executed }) => [code, executed]),
      };
    });
    assert.deepEqual(seen.chunks, [...Array(50).keys()]);
    assert.deepEqual([seen.result, seen.echo], ['over', { deep: [1, 2] }]);
    assert.deepEqual(seen.error, ['NO_SUCH_SERVICE', 'no']);
    // Into the tab: what it yields, and what it is sent.
    const counting = other.stream(`of-b-${group}.count`, 20);
    const chunks = [];
    for await (const n of counting) chunks.push(n);
    assert.deepEqual([chunks.length, await counting.result], [20, 'b']);
    const summing = other.stream(`of-b-${group}.sum`);
    const sums = summing[Symbol.asyncIterator]();
    for (const [n, sum] of [[1, 1], [4, 5]]) {
      await summing.send(n);
      assert.equal((await sums.next()).value, sum);
    }
    await summing.end();
    assert.equal((await sums.next()).value, 5);
  });

  test('the leader is closed in mid-call: the answer still arrives', async () => {
    const first = await join('a');
    const second = await join('b');
    await ask(second, 'slow.wait', { idempotent: true });
    await until('the call runs', () => running.length === 1);
    await first.close();
    await until('the other tab has the link', () => leads(second));
    await until('the call runs again', () => running.length === 2);
    running[1]('at last');
    assert.deepEqual(await answers(second), { result: 'at last' });
    // What it offers is offered by its own link now.
    await main.offers(`of-b-${group}`);
    assert.equal((await main.rpc(`of-b-${group}.hello`, [])).result, 'hello from b');
    await main.offers(`of-a-${group}`, false);
  });

  test('a call that may have run and may not run twice is answered honestly', async () => {
    const first = await join('a');
    const second = await join('b');
    await ask(second, 'slow.wait', {});
    await until('the call runs', () => running.length === 1);
    await first.close();
    const answer = await answers(second);
    assert.deepEqual([answer.code, answer.executed], ['LINK_LOST', 'unknown']);
    assert.equal(ran, 1);
  });

  test('a leader that leaves in good order loses no call', async () => {
    const first = await join('a');
    const second = await join('b');
    await ask(second, 'slow.wait', {});
    await until('the call runs', () => running.length === 1);
    await first.evaluate(() => void home.close(60_000));
    // Asked while there is no leader: it waits for the next one.
    await second.evaluate(() => void home.call('slow.echo', 7).then((n) => (globalThis.later = n)));
    running[0]('unhurried');
    assert.deepEqual(await answers(second), { result: 'unhurried' });
    assert.equal(await until('a later call', () => second.evaluate(() => globalThis.later)), 7);
    assert.deepEqual([await leads(second), ran], [true, 1]);
  });

  test('a call served by a tab that is closed is answered at once, honestly', async () => {
    await join('a');
    const second = await join('b');
    await main.offers(`of-b-${group}`);
    const call = other.call(`of-b-${group}.hang`).catch((error) => error);
    await until('the call runs', () => second.evaluate(() => served.length === 1));
    await second.close();
    const error = await call;
    assert.deepEqual([error.code, error.executed], ['LINK_LOST', 'unknown']);
    await main.offers(`of-b-${group}`, false);
  });

  test('a handler in another tab hears of a cancel, and of the end of the link', async () => {
    const first = await join('a');
    const second = await join('b');
    await main.offers(`of-b-${group}`);
    const begin = async (options) => {
      await second.evaluate(() => served.splice(0));
      const call = other.call(`of-b-${group}.hang`, null, options).catch((error) => error);
      await until('the call runs', () => second.evaluate(() => served.length === 1));
      return call;
    };
    const told = () =>
      until('the handler is told', () => second.evaluate(() => served.includes('aborted')));
    const controller = new AbortController();
    const cancelled = begin({ signal: controller.signal });
    await until('the call runs', () => second.evaluate(() => served.length === 1));
    controller.abort();
    await cancelled;
    await told();
    const lost = begin({});
    await until('the call runs', () => second.evaluate(() => served[0] === 'begun' && served.length === 1));
    await first.close();
    assert.equal((await lost).executed, 'unknown');
    await told();
  });

  test('a leader that is frozen hands over, and is one of the others when it runs again', async () => {
    const first = await join('a');
    const second = await join('b');
    const session = await first.createCDPSession();
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    await until('the other tab has the link', () => leads(second));
    await main.offers(`of-b-${group}`);
    assert.equal((await main.rpc(`of-b-${group}.hello`, [])).result, 'hello from b');
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await main.offers(`of-a-${group}`);
    await until('the first tab is called again', async () =>
      (await main.rpc(`of-a-${group}.hello`, [])).result === 'hello from a');
    assert.equal(await leads(first), false);
    assert.equal(await first.evaluate(() => home.call('slow.echo', 3)), 3);
  });

  test('a service that two tabs offer moves to the one that is left', async () => {
    const first = await join('a');
    const second = await join('b');
    const name = `both-${group}`;
    for (const page of [first, second]) {
      await page.evaluate((name) => home.register(name, { who: () => home.isLeader }), name);
    }
    await main.offers(name);
    assert.equal((await main.rpc(`${name}.who`, [])).result, true);
    await first.evaluate((name) => home.withdraw(name), name);
    await until('the other tab answers', async () =>
      (await main.rpc(`${name}.who`, [])).result === false);
    await second.evaluate((name) => home.withdraw(name), name);
    await main.offers(name, false);
    const refused = (page) =>
      page.evaluate(() => home.register('no.name', {}).catch(({ code }) => code));
    assert.equal(await refused(first), 'NAME_INVALID');
    assert.equal(await refused(second), 'NAME_INVALID');
  });
});
