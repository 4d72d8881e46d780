// Loads the WebAssembly, once, wherever this runs.

import load from './relay_wasm.js';

let loading;

/**
 * Loads the module. Everything that needs it calls this by itself; call it first to choose where it
 * comes from: a URL, a Response, bytes, or a WebAssembly.Module.
 */
export function init(source) {
  loading ??= start(source).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function start(source) {
  // Written like this so that bundlers find the file and put it beside what they write.
  const url = new URL('./relay_wasm_bg.wasm', import.meta.url);
  const module = source ?? (url.protocol === 'file:' ? await fileAt(url) : url);
  await load({ module_or_path: module });
}

/** Node fetches no files. The name is in a variable so that no bundler looks for the package. */
async function fileAt(url) {
  const name = 'node:fs/promises';
  const { readFile } = await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
  return readFile(url);
}
