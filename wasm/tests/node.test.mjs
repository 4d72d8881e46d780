// The package in Node, both ends.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { LONG, Main, output, packageFolder, relay, tool, tools, until } from './world.mjs';

describe('node', { timeout: LONG * 3 }, () => {
  let main, options, Home, Client, RelayError, home, client;
  const log = [];
  let release;

  before(async () => {
    ({ Home, Client, RelayError } = await relay());
    const { default: WebSocket } = await tool('ws');
    options = { WebSocket };
    main = await Main.start();
    home = await Home.connect(main.ws, { ...options, nodeId: 'desk' });
    await home.register('notes', {
      add: (params, context) => ({ params, method: context.method, headers: context.headers }),
      async fail({ code }) {
        throw Object.assign(new Error('no paper'), { code, data: { left: 0 } });
      },
      async *count(to) {
        for (let n = 1; n <= to; n += 1) yield n;
        return 'done';
      },
      async *sum(params, { chunks }) {
        let sum = 0;
        for await (const n of chunks) yield (sum += n);
        return sum;
      },
      async wait(params, { signal, deadline, idempotent }) {
        log.push(['waits', deadline > Date.now(), idempotent]);
        await new Promise((resolve) => {
          release = resolve;
          signal.addEventListener('abort', () => {
            log.push(['aborted']);
            resolve();
          });
        });
        return 'released';
      },
      async *forever() {
        let n = 0;
        try {
          for (;;) yield { n: n++, fill: 'x'.repeat(20_000) };
        } finally {
          log.push(['generator ended']);
        }
      },
      _hidden: () => 'hidden',
    });
    client = await Client.connect(main.ws, options);
    await main.offers('notes');
  });

  after(async () => {
    await client?.close(0);
    await home?.close(0);
    await main?.stop();
  });

  test('a caller in Node calls a Home in Node, with params and headers', async () => {
    const headers = { traceparent: 'x' };
    const result = await client.call('notes.add', { text: 'milk', zero: 0 }, { headers });
    assert.deepEqual(result.params, { text: 'milk', zero: 0 });
    assert.equal(result.method, 'add');
    assert.equal(result.headers.traceparent, 'x');
    assert.deepEqual((await client.call('desk.notes.add', [1])).params, [1]);
    assert.deepEqual((await client.call('notes.add', 2, { node: 'desk' })).params, 2);
    assert.equal((await main.rpc('notes.add', ['ü'])).result.params[0], 'ü');
  });

  test('a Home calls itself and others', async () => {
    assert.equal((await home.call('notes.add', 'own')).params, 'own');
  });

  test('errors of a service keep code, message and data', async () => {
    const error = await client.call('notes.fail', { code: 17 }).catch((error) => error);
    assert.ok(error instanceof RelayError && error.isApplication);
    assert.deepEqual([error.code, error.message, error.data], [17, 'no paper', { left: 0 }]);
    assert.deepEqual([error.executed, error.retry], ['yes', 'never']);
    const plain = await main.rpc('notes.fail', { code: 'text' });
    assert.deepEqual(plain.error, { code: -32000, message: 'no paper', data: { left: 0 } });
  });

  test('errors of the relay say whether the call ran', async () => {
    const error = await client.call('nobody.x').catch((error) => error);
    assert.deepEqual([error.code, error.executed, error.retry], ['NO_SUCH_SERVICE', 'no', 'safe']);
    assert.equal(error.rpcCode, -32003);
    for (const method of ['hidden', '_hidden', 'toString', 'constructor']) {
      const missing = await client.call(`notes.${method}`).catch((error) => error);
      assert.equal(missing.executed, 'no', method);
      assert.match(missing.code, /NO_SUCH_METHOD|NAME_INVALID|BAD_REQUEST/);
    }
    await assert.rejects(client.call('nothing'), TypeError);
    await assert.rejects(home.register('no.dots', {}), { code: 'NAME_INVALID' });
  });

  test('a generator streams its chunks before its result', async () => {
    const stream = client.stream('notes.count', 5);
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    assert.deepEqual(chunks, [1, 2, 3, 4, 5]);
    assert.equal(await stream.result, 'done');
    // Without a stream the chunks go nowhere.
    assert.equal(await client.call('notes.count', 3), 'done');
  });

  test('a caller streams to the handler', async () => {
    const stream = client.stream('notes.sum');
    const sums = stream[Symbol.asyncIterator]();
    for (const [n, sum] of [[2, 2], [3, 5], [5, 10]]) {
      assert.equal(await stream.send(n), true);
      assert.equal((await sums.next()).value, sum);
    }
    await stream.end();
    assert.deepEqual(await sums.next(), { done: true, value: 10 });
  });

  test('a loop that is left cancels the generator', async () => {
    log.length = 0;
    for await (const { n } of client.stream('notes.forever')) {
      if (n === 30) break;
    }
    await until('the generator ends', () => log.some(([what]) => what === 'generator ended'));
  });

  test('a signal cancels a call, and the handler hears of it', async () => {
    log.length = 0;
    const controller = new AbortController();
    const { signal } = controller;
    const call = client.call('notes.wait', null, { signal, idempotent: true });
    await until('the handler waits', () => log.length === 1);
    assert.deepEqual(log[0], ['waits', true, true]);
    controller.abort(new Error('enough'));
    await assert.rejects(call, { message: 'enough' });
    await until('the handler is told', () => log.length === 2);
    assert.throws(() => signal.throwIfAborted());
    await assert.rejects(client.call('notes.add', 1, { signal }), { message: 'enough' });
  });

  test('a deadline passes at both ends', async () => {
    log.length = 0;
    const error = await client.call('notes.wait', null, { deadline: 300 }).catch((error) => error);
    assert.deepEqual([error.code, error.executed], ['DEADLINE', 'unknown']);
    await until('the handler is told', () => log.some(([what]) => what === 'aborted'));
  });

  test('a trace names the nodes on the way', async () => {
    let hops;
    await client.call('notes.add', 1, { trace: (way) => (hops = way) });
    assert.equal(hops.length, 3);
    assert.equal(hops[0].node, 'desk');
    assert.equal(hops[2].node, client.nodeId);
  });

  test('a service is replaced and taken back', async () => {
    await home.register('temporary', { a: () => 1 });
    await main.offers('temporary');
    await home.register('temporary', (method) => method.toUpperCase());
    await until('the new one answers', async () =>
      (await client.call('temporary.b').catch(() => '')) === 'B');
    assert.equal(await home.withdraw('temporary'), true);
    await main.offers('temporary', false);
    assert.equal(await home.withdraw('temporary'), false);
  });

  test('a Main that was killed and comes back has the service again', async () => {
    const lost = new Promise((resolve) => home.addEventListener('disconnected', resolve, { once: true }));
    log.length = 0;
    const call = client.call('notes.wait').catch((error) => error);
    await until('the handler waits', () => log.length === 1);
    await main.kill();
    const error = await call;
    assert.deepEqual([error.code, error.executed], ['LINK_LOST', 'unknown']);
    assert.ok((await lost).reason.length > 0);
    assert.equal(home.isConnected, false);
    await main.again();
    await home.connected();
    await main.offers('notes');
    release?.();
    assert.equal((await main.rpc('notes.add', [1])).result.method, 'add');
    await client.connected();
    assert.equal((await client.call('notes.add', 2)).params, 2);
  });

  test('what is published comes once, in order, to a handler and to a loop', async () => {
    const [handled, looped] = [[], []];
    const handler = async ({ topic, value, publisher, headers, seq, gap }) => {
      await undefined;
      handled.push({ topic, value, publisher, headers, seq, gap });
    };
    const subscription = home.subscribe(['said.*', 'said.**'], handler);
    const loop = home.subscribe('said.a');
    await Promise.all([subscription.ready(), loop.ready()]);
    const reading = (async () => {
      for await (const publication of loop) {
        assert.ok(publication.bytes instanceof Uint8Array && publication.gap === 0);
        looped.push(publication.value);
        if (publication.value === 99) return;
      }
    })();
    for (let n = 0; n < 100; n += 1) await client.publish('said.a', n, { headers: { n } });
    await client.publish('said.b.c', { deep: ['ü'] });
    // There is no order between publishers.
    await until('what the client said came', () => handled.length === 101);
    await home.publish('said', undefined);
    await reading;
    await until('everything came', () => handled.length === 102);
    assert.deepEqual(looped, [...Array(100).keys()]);
    assert.deepEqual(handled.slice(0, 100).map(({ value }) => value), looped);
    const { publisher, headers, seq } = handled[99];
    assert.deepEqual([publisher, headers, seq], [client.nodeId, { n: '99' }, 100]);
    const { topic, value, gap } = handled[100];
    assert.deepEqual([topic, value, gap], ['said.b.c', { deep: ['ü'] }, 0]);
    assert.deepEqual([handled[101].value, handled[101].publisher], [null, 'desk']);
    subscription.close();
    // What is on the way when it is closed is dropped, and nothing comes after.
    const end = home.subscribe('end');
    await end.ready();
    await client.publish('said.a', 'late');
    await client.publish('end', Uint8Array.of(1, 2));
    const { value: last } = await end[Symbol.asyncIterator]().next();
    assert.deepEqual([...last.bytes], [1, 2]);
    assert.throws(() => last.value, SyntaxError);
    end.close();
    assert.equal(handled.length, 102);
  });

  test('what cannot be published or subscribed to is an error with a reason', async () => {
    await assert.rejects(client.publish('a..b', 1), { code: 'NAME_INVALID', executed: 'no' });
    await assert.rejects(client.publish('a.*', 1), RelayError);
    assert.throws(() => client.subscribe(['a', 'a.**.b']), { code: 'NAME_INVALID' });
    assert.throws(() => client.subscribe('a', { signal: AbortSignal.abort() }), /abort/i);
    const gone = await Client.connect(main.ws, options);
    const over = gone.subscribe('a');
    await over.ready();
    const reading = (async () => {
      for await (const _ of over);
    })();
    await gone.close(0);
    await reading;
    await assert.rejects(gone.publish('a', 1), { executed: 'no' });
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = client.subscribe('a', { signal })[Symbol.asyncIterator]();
    const waiting = aborted.next();
    controller.abort();
    assert.deepEqual(await waiting, { done: true, value: undefined });
  });

  test('a reader that does not read is told what it missed', async () => {
    const told = [];
    const slow = home.subscribe('slow', { missed: (count) => told.push(count) });
    const beside = home.subscribe('slow');
    await Promise.all([slow.ready(), beside.ready()]);
    const fast = beside[Symbol.asyncIterator]();
    for (let n = 0; n < 1100; n += 1) {
      await client.publish('slow', n);
      assert.equal((await fast.next()).value.value, n);
    }
    const late = slow[Symbol.asyncIterator]();
    assert.equal((await late.next()).value.value, 1100 - 1024);
    assert.deepEqual(told, [1100 - 1024]);
    slow.close();
    beside.close();
  });

  test('a wrong token and a Main that is not there are errors with a reason', async () => {
    const gone = { ...options, timeout: 300 };
    await assert.rejects(Client.connect('ws://127.0.0.1:9', gone), { code: 'UNAVAILABLE' });
    await assert.rejects(Client.connect('nothing://x', gone), /ws:\/\//);
    const refusals = [];
    const other = await Home.connect(main.ws, { ...options, cluster: 'other' });
    other.addEventListener('disconnected', ({ reason }) => refusals.push(reason));
    await until('a refusal', () => refusals.length > 0);
    assert.match(refusals[0], /cluster/);
    await other.close(0);
  });

  test('large params and results pass', async () => {
    const text = 'relay '.repeat(150_000);
    assert.equal((await home.call('notes.add', text)).params, text);
  });

  test('a process ends once its node is closed, and says what is missing', async () => {
    const url = pathToFileURL(path.join(packageFolder, 'index.js'));
    const ws = pathToFileURL(path.join(tools, 'node_modules/ws/wrapper.mjs'));
    const script = `
      import { Client } from '${url}';
      import WebSocket from '${ws}';
      const client = await Client.connect('${main.ws}', { WebSocket });
      console.log((await client.call('notes.add', 7)).params);
      await client.close();
      delete globalThis.WebSocket;
      await Client.connect('${main.ws}', { timeout: 200 }).catch((e) => console.log(e.message));
    `;
    const text = await output('node', ['--input-type=module', '-e', script]);
    assert.match(text, /^7\n.*accepted the link in time/);
  });
});
