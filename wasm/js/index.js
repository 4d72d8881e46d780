// Relay in a browser tab, in a worker and in Node. See index.d.ts and README.md.

export { RelayError } from './errors.js';
export { Client, Home } from './home.js';
export { init } from './init.js';
export { SharedHome } from './shared.js';
export { Publication, Subscription } from './topics.js';
