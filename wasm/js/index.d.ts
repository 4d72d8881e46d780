// The types of relay-wasm, complete: what is not here is not for use from outside.

/** What passes as JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Where the module may come from. */
export type Source = string | URL | Request | Response | BufferSource | WebAssembly.Module;

/**
 * Loads the WebAssembly, once. `connect` calls it by itself; call it first to choose where the
 * module comes from, or to have it early.
 */
export function init(source?: Source | Promise<Response>): Promise<void>;

/** Whether a handler ran. `no` is a promise: it never ran and never will. */
export type Executed = 'no' | 'yes' | 'unknown';
/** Whether trying again helps, and whether it is safe. */
export type Retry = 'safe' | 'unsafe' | 'after_ms' | 'never';

/** The names of docs/errors.md. */
export type ErrorCode =
  | 'PARSE' | 'BAD_REQUEST' | 'NO_SUCH_METHOD' | 'BAD_PARAMS' | 'TOO_LARGE' | 'BAD_CHECKSUM'
  | 'TRUNCATED' | 'BAD_STATE' | 'BAD_FLAGS' | 'ID_REUSED' | 'ID_EXHAUSTED' | 'VERSION'
  | 'CAPABILITIES' | 'UNAUTHENTICATED' | 'FORBIDDEN' | 'NAME_CONFLICT' | 'NAME_INVALID'
  | 'NO_SUCH_SERVICE' | 'UNAVAILABLE' | 'HOP_LIMIT' | 'LOOP' | 'OVERLOADED' | 'RATE_LIMITED'
  | 'CIRCUIT_OPEN' | 'SLOW_CONSUMER' | 'DEADLINE' | 'LINK_LOST' | 'CANCELLED' | 'DRAINING'
  | 'BAD_RESPONSE' | 'INTERNAL';

/** Why a call gave no result. */
export class RelayError extends Error {
  readonly name: 'RelayError';
  /** A name where a relay decided, the number of the error object where the service did. */
  readonly code: ErrorCode | number;
  readonly executed: Executed;
  readonly retry: Retry;
  /** Milliseconds to wait, where `retry` is `after_ms`. */
  readonly retryAfter?: number;
  /** The node that decided. */
  readonly node?: string;
  /** The limit that was hit. */
  readonly limit?: number;
  /** The `code` of JSON-RPC for a name. */
  readonly rpcCode?: number;
  /** The `data` of the error object of the service. */
  readonly data?: unknown;
  /** Whether the service itself answered with this error. */
  readonly isApplication: boolean;
}

/** How a node is set up. */
export interface NodeOptions {
  /** The id of the node; derived from its key when there is none. */
  nodeId?: string;
  /** 32 bytes. A Home that comes back under the same id needs the same key. Random by default. */
  secretKey?: Uint8Array;
  /** The federation. Default: `default`. */
  cluster?: string;
  /** The secret that the Main asks for. */
  token?: string;
  /** Where the node is: instances in the same zone are preferred. */
  zone?: string;
  /** The class of WebSockets where there is no global one: `import WebSocket from 'ws'`. */
  WebSocket?: unknown;
}

/** How a caller is set up. */
export interface ClientOptions extends NodeOptions {
  /** Milliseconds to wait for the first link. Default: 10 000. */
  timeout?: number;
}

/** How a Home of several tabs is set up; the same in all of them. */
export interface SharedOptions extends NodeOptions {
  /** What the tabs share it under. Default: made of the addresses, the id and the cluster. */
  name?: string;
}

/** One stop on the way of a traced call: who served it first, this node last. */
export interface TraceHop {
  node: string;
  ms: number;
  attempts: number;
}

/** How a stream is asked for. */
export interface StreamOptions {
  /** Cancels the call; what waits for it throws the reason of the signal. */
  signal?: AbortSignal;
  /** Milliseconds until an answer must be there. Default: 60 000. */
  deadline?: number;
  /** Running the call twice does no harm: it may be sent again when a link is lost. */
  idempotent?: boolean;
  /** The node that must answer; any instance may when there is none. */
  node?: string;
  /** How much the call matters where there is no room for all. Default: `normal`. */
  priority?: 'low' | 'normal' | 'high';
  /** What reaches the handler, such as a W3C `traceparent`. */
  headers?: Record<string, string>;
}

/** How a call is made. */
export interface CallOptions extends StreamOptions {
  /** Called with the way of the answer. */
  trace?: (hops: TraceHop[]) => void;
}

/** The chunks of a call, to be iterated once, and its result. */
export class CallStream<C = unknown, R = unknown> implements AsyncIterable<C> {
  private constructor();
  /** The result of the call. It may wait for the chunks to be read. */
  readonly result: Promise<R>;
  /** Sends a chunk to the service; ready when it has room. False when the call has ended. */
  send(chunk: unknown): Promise<boolean>;
  /** Tells the service that no more chunks come. */
  end(): Promise<boolean>;
  /** Cancels the call. */
  cancel(reason?: unknown): void;
  /** A loop that is left early cancels the call. Throws what the call failed with. */
  [Symbol.asyncIterator](): AsyncIterator<C, R>;
}

/** How something is published. */
export interface PublishOptions {
  /** What reaches the subscribers. */
  headers?: Record<string, string>;
}

/** How a subscription is made. */
export interface SubscribeOptions {
  /** Ends the subscription. */
  signal?: AbortSignal;
  /**
   * Called in its place among the publications when `count` of them were left out because they were
   * not taken fast enough: by this node from its Main, which may be anyone's and which the `gap` of
   * the next one on the same topic counts again, or by the handler or loop, which no `gap` counts.
   */
  missed?: (count: number) => void;
}

/** What was published on a topic. */
export class Publication<V = unknown> {
  private constructor();
  readonly topic: string;
  /** The node that published it. */
  readonly publisher: string;
  /** What the publisher sent along. */
  readonly headers: Readonly<Record<string, string>>;
  /** Its number among those of this life of the publisher on this topic. */
  readonly seq: number;
  /**
   * At most so many did not reach this node between the one before it, on the same topic and by the
   * same publisher, and this one: 0 when nothing is missing, `Infinity` when nobody knows.
   */
  readonly gap: number;
  /** The content as it came. */
  readonly bytes: Uint8Array;
  /** The content as JSON, `undefined` when it is empty. Throws a `SyntaxError` when it is none. */
  get value(): V;
}

/**
 * A subscription to the topics of some patterns, each publication once. Without a handler it is to
 * be iterated; a loop that is left ends it. What is not taken is kept up to 1,024 publications or
 * 1 MiB; beyond that the oldest give way.
 */
export class Subscription<V = unknown> implements AsyncIterable<Publication<V>> {
  private constructor();
  /**
   * Ready when the Main has confirmed all patterns: whatever is published from then on comes. Throws
   * a `RelayError` when it refused one; the others still stand. It stands again by itself after a
   * lost link, of which the event `subscribed` tells.
   */
  ready(): Promise<void>;
  /** Ends it. */
  close(): void;
  [Symbol.asyncIterator](): AsyncIterator<Publication<V>, void>;
}

/** A link was accepted. */
export interface ConnectedEvent extends Event {
  /** The Main. */
  readonly node?: string;
}
/** A link was lost, or an attempt failed. */
export interface DisconnectedEvent extends Event {
  readonly reason: string;
}
/** The next attempt comes after a pause. */
export interface RetryingEvent extends Event {
  readonly address: string;
  /** In milliseconds. */
  readonly pause: number;
}
/** The Main refused a registration. */
export interface RefusedEvent extends Event {
  readonly service: string;
  readonly code: ErrorCode;
  readonly message: string;
}

/** A subscription stands, for the first time or again after a lost link. */
export interface SubscribedEvent extends Event {
  readonly pattern: string;
}
/** The Main refused a subscription, which has ended. */
export interface SubscriptionRefusedEvent extends Event {
  readonly pattern: string;
  readonly code: ErrorCode;
  readonly message: string;
}
/** The Main did not pass on what this node published. */
export interface NotPublishedEvent extends Event {
  /** How many publications, since this was said last. */
  readonly count: number;
  /** Why, the last time. */
  readonly code: ErrorCode;
}

/** The events of a node. */
export interface NodeEvents {
  connected: ConnectedEvent;
  disconnected: DisconnectedEvent;
  retrying: RetryingEvent;
  refused: RefusedEvent;
  /** Not of a `SharedHome`, nor are the next two. */
  subscribed: SubscribedEvent;
  subscriptionRefused: SubscriptionRefusedEvent;
  notPublished: NotPublishedEvent;
  /** `SharedHome` only: this tab has the link now. */
  leading: Event;
}

declare abstract class Caller extends EventTarget {
  /** Calls `service.method`, or `node.service.method`, and waits for the result. */
  call<R = unknown>(target: string, params?: unknown, options?: CallOptions): Promise<R>;
  /** Calls a method that sends chunks before its result. */
  stream<C = unknown, R = unknown>(
    target: string,
    params?: unknown,
    options?: StreamOptions,
  ): CallStream<C, R>;
  /** The id of the node. */
  abstract get nodeId(): string | undefined;
  /** Whether a Main has accepted the link. */
  abstract get isConnected(): boolean;
  /** Ready when a Main has accepted the link. */
  connected(): Promise<void>;
  /** Looks at the clock and dials at once. Pages that come back are noticed without it. */
  wake(): void;
  /** Leaves, after calls in flight had `grace` milliseconds (default 5 000) to end. */
  close(grace?: number): Promise<void>;
  addEventListener<K extends keyof NodeEvents>(
    type: K,
    listener: (event: NodeEvents[K]) => void,
    options?: AddEventListenerOptions | boolean,
  ): void;
  removeEventListener<K extends keyof NodeEvents>(
    type: K,
    listener: (event: NodeEvents[K]) => void,
    options?: EventListenerOptions | boolean,
  ): void;
}

declare abstract class Publisher extends Caller {
  /**
   * Says something on a topic, to all who subscribed to it, at most once to each of them. Bytes are
   * published as they are, everything else as JSON. Ready when it is on its way; nobody says that it
   * was received. Throws a `RelayError` when it went nowhere.
   */
  publish(topic: string, value: unknown, options?: PublishOptions): Promise<void>;
  /**
   * Subscribes to all topics that a pattern, or one of several, stands for: a level may be `*`,
   * which stands for any one, and the last may be `**`, which stands for any number of them. The
   * handler gets one publication after the other, the next one when the promise that it returned is
   * settled. Without a handler the subscription is to be iterated.
   */
  subscribe<V = any>(
    patterns: string | string[],
    handler: (publication: Publication<V>) => unknown,
    options?: SubscribeOptions,
  ): Subscription<V>;
  subscribe<V = unknown>(patterns: string | string[], options?: SubscribeOptions): Subscription<V>;
}

/** A caller with a link to a Main. */
export class Client extends Publisher {
  private constructor();
  /** Connects to a Main, or to the first of several that answers, and waits for it. */
  static connect(address: string | string[], options?: ClientOptions): Promise<Client>;
  get nodeId(): string;
  get isConnected(): boolean;
}

/** What a handler knows of a call beside its params. */
export interface Context<C = unknown> {
  /** The method that was called. */
  readonly method: string;
  /** Fires when the caller cancels, the deadline passes or the link is lost. */
  readonly signal: AbortSignal;
  /** Until when the caller waits, as `Date.now()` counts. */
  readonly deadline: number;
  /** The caller declared that running the call twice does no harm. */
  readonly idempotent: boolean;
  /** What the caller sent along. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the caller takes chunks. */
  readonly isStreaming: boolean;
  /** What the caller sends. */
  readonly chunks: AsyncIterable<C>;
  /** Sends a chunk; ready when the caller has room. False when it takes none. */
  send(chunk: unknown): Promise<boolean>;
}

/**
 * One method: a function, an async one, or an async generator, whose `yield`s are chunks and whose
 * `return` is the result. What it throws becomes a JSON-RPC error object with its `code` (if that
 * is an integer), `message` and `data`.
 */
export type Method = (params: any, context: Context<any>) => unknown;
/** A service: an object whose functions are its methods (names with `_` in front are not). */
export type Service = object;
/** A service that takes any method. */
export type AnyMethod = (method: string, params: any, context: Context<any>) => unknown;

/** A Home: it offers services at a Main, and calls. */
export class Home extends Publisher {
  private constructor();
  /** Starts a Home. It dials until it has a link, and again whenever the link is lost. */
  static connect(address: string | string[], options?: NodeOptions): Promise<Home>;
  get nodeId(): string;
  get isConnected(): boolean;
  /** Offers a service to everyone; one of the same name is replaced. */
  register(name: string, service: Service | AnyMethod): Promise<void>;
  /** Takes a service back. Tells whether it was offered. */
  withdraw(name: string): Promise<boolean>;
}

/** A Home that all tabs of an origin share: one has the link, and when it goes another has. */
export class SharedHome extends Caller {
  private constructor();
  /** Joins the Home of this origin, or starts it. */
  static connect(address: string | string[], options?: SharedOptions): Promise<SharedHome>;
  /** Known once a tab has started the node. */
  get nodeId(): string | undefined;
  get isConnected(): boolean;
  /** Whether this tab has the link. */
  get isLeader(): boolean;
  /**
   * Offers a service of this tab; ready when the tab with the link has taken it. Where several tabs
   * offer the same one, the tab with the link serves it, or else the first of the others.
   */
  register(name: string, service: Service | AnyMethod): Promise<void>;
  /** Takes a service of this tab back. Tells whether it was offered. */
  withdraw(name: string): Promise<boolean>;
}
