// What users write, as the compiler of TypeScript sees it. Lines marked with an expected error have
// to be errors.

import {
  CallStream, Client, Home, Publication, RelayError, SharedHome, Subscription, init,
  type Context, type ErrorCode, type TraceHop,
} from 'relay-wasm';

interface Note {
  text: string;
}

class Notes {
  #all: Note[] = [];
  add(note: Note, { signal, deadline }: Context): { count: number; late: boolean } {
    this.#all.push(note);
    return { count: this.#all.length, late: signal.aborted || deadline < Date.now() };
  }
  async *follow(_: unknown, { chunks }: Context<number>): AsyncGenerator<Note, string> {
    for await (const n of chunks) yield this.#all[n]!;
    return 'over';
  }
}

export async function everything(): Promise<void> {
  await init();
  await init(new URL('https://example.org/relay_wasm_bg.wasm'));
  const home = await Home.connect(['ws://a', 'ws://b'], { nodeId: 'x', secretKey: new Uint8Array(32) });
  await home.register('notes', new Notes());
  await home.register('plain', { add: (a: number, _: Context) => a + 1 });
  await home.register('any', (method, params) => [method, params]);
  const isKnown: boolean = await home.withdraw('plain');
  home.addEventListener('disconnected', ({ reason }) => reason.toUpperCase());
  home.addEventListener('retrying', ({ address, pause }) => address.repeat(pause));

  const client: Client = await Client.connect('wss://a', { timeout: 5, token: 't' });
  const controller = new AbortController();
  let way: TraceHop[] = [];
  const note = await client.call<Note>('notes.get', 1, {
    signal: controller.signal,
    deadline: 1,
    idempotent: true,
    node: 'x',
    priority: 'high',
    headers: { traceparent: 'y' },
    trace: (hops) => (way = hops),
  });
  const text: string = note.text + way.length + String(isKnown);
  const stream: CallStream<Note, string> = client.stream<Note, string>('notes.follow', [text]);
  for await (const chunk of stream) chunk.text.trim();
  const result: string = await stream.result;
  if (!(await stream.send(result))) await stream.end();

  await home.publish('notes.new', { text }, { headers: { lang: 'en' } });
  await client.publish('notes.raw', new Uint8Array(3));
  const handled = home.subscribe('notes.*', ({ topic, value, gap }) => topic.repeat(gap) + value.text);
  handled.close();
  const missed = (count: number): string => count.toFixed();
  const { signal } = controller;
  const notes: Subscription<Note> = client.subscribe<Note>(['notes.*', 'a.**'], { signal, missed });
  await notes.ready();
  for await (const published of notes) {
    const { value, publisher, headers, seq, bytes }: Publication<Note> = published;
    console.log(value.text, publisher, headers['lang'], seq + 1, bytes.length);
  }
  home.addEventListener('subscribed', ({ pattern }) => pattern.trim());
  home.addEventListener('subscriptionRefused', ({ pattern, code }) => pattern + code);
  home.addEventListener('notPublished', ({ count, code }) => code.repeat(count));

  const shared = await SharedHome.connect('ws://a', { name: 'tabs' });
  shared.addEventListener('leading', () => shared.isLeader);
  const id: string | undefined = shared.nodeId;
  await shared.close(10);

  try {
    await client.call(id ?? 'a.b');
  } catch (error) {
    if (!(error instanceof RelayError)) throw error;
    const code: ErrorCode | number = error.code;
    const wait: number = error.retry === 'after_ms' ? (error.retryAfter ?? 0) : 0;
    console.log(code, wait, error.executed === 'no', error.isApplication, error.data);
  }

  // @ts-expect-error An address is missing.
  await Home.connect();
  // @ts-expect-error There is no such option.
  await Home.connect('ws://a', { nodeID: 'x' });
  // @ts-expect-error There is no such priority.
  await client.call('a.b', 1, { priority: 'urgent' });
  // @ts-expect-error There is no such option.
  client.subscribe('a.*', { lost: () => 0 });
  // @ts-expect-error Tabs that share a Home do not publish.
  await shared.publish('a', 1);
  // @ts-expect-error A caller offers nothing.
  await client.register('a', {});
  // @ts-expect-error Nodes are connected, not made.
  new Home();
}
