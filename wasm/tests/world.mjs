// What the tests of the package stand on: a Main in a process of its own, a web server for pages,
// and a Chromium. Nothing here decides by the clock; LONG only ends what hangs.

import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const LONG = Number(process.env.RELAY_TEST_MS ?? 120_000);
export const root = path.resolve(fileURLToPath(import.meta.url), '../../..');
export const packageFolder = needed('RELAY_PACKAGE');
export const tools = needed('RELAY_TOOLS');
export const pictures = process.env.RELAY_PICTURES ?? path.join(root, 'target/wasm-pictures');

function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run \`cargo xtask wasm --test\``);
  return value;
}

/** A module out of the npm packages that only tests need. */
export function tool(name) {
  const require = createRequire(path.join(tools, 'package.json'));
  return import(pathToFileURL(require.resolve(name)));
}

/** The package under test, in this process. */
export const relay = () => import(pathToFileURL(path.join(packageFolder, 'index.js')));

export const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** Looks again and again until `condition` gives something. */
export async function until(what, condition) {
  const end = Date.now() + LONG;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`this never happened: ${what}`);
    await sleep(20);
  }
}

/** A Main in a process of its own. */
export class Main {
  /** @param site the web server whose pages may open links */
  static async start(site, ...words) {
    const main = new Main();
    main.words = words;
    main.origin = site?.url;
    main.folder = await mkdtemp(path.join(tmpdir(), 'relay-'));
    await main.run(0);
    return main;
  }

  async run(port) {
    const words = ['--server', '--port', String(port), ...this.words];
    const env = { PATH: process.env.PATH, HOME: this.folder };
    if (this.origin) env.RELAY_HTTP__LINK_ORIGINS = this.origin;
    this.process = spawn(needed('RELAY_PROGRAM'), words, { env, cwd: this.folder });
    let said = '';
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on('data', (data) => (said += data));
    }
    this.ended = new Promise((resolve) => this.process.on('exit', resolve));
    const address = await until('the Main is ready', () => {
      if (this.process.exitCode !== null) throw new Error(`the Main ended: ${said}`);
      return /ready .*address="?([0-9.]+:\d+)/.exec(said)?.[1];
    });
    this.port = Number(address.split(':')[1]);
    this.http = `http://${address}`;
    this.ws = `ws://${address}`;
  }

  async kill() {
    this.process.kill('SIGKILL');
    await this.ended;
  }

  /** The same Main again, after it was killed. */
  async again() {
    await this.run(this.port);
  }

  async stop() {
    await this.kill();
    await rm(this.folder, { recursive: true });
  }

  /** A JSON-RPC call by POST, as anybody makes it. */
  async rpc(method, params, headers = {}) {
    const answer = await fetch(`${this.http}/rpc`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    });
    return answer.json();
  }

  /** Waits until a service is offered, or is not. */
  async offers(service, isOffered = true) {
    await until(`${service} is ${isOffered ? '' : 'not '}offered`, async () => {
      const registry = await (await fetch(`${this.http}/registry`)).text();
      return registry.includes(`"${service}"`) === isOffered;
    });
  }
}

/** What a program prints. */
export function output(program, words, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, options);
    let text = '';
    let errors = '';
    child.stdout.on('data', (data) => (text += data));
    child.stderr.on('data', (data) => (errors += data));
    child.on('error', reject);
    child.on('exit', (code) =>
      code === 0 ? resolve(text) : reject(new Error(`${program}: ${code}\n${text}\n${errors}`)),
    );
  });
}

/** A web server for the files below folders: `{ '/pkg/': folder }`. */
export async function serve(folders) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    const mount = Object.keys(folders).find((prefix) => pathname.startsWith(prefix));
    try {
      if (pathname === '/empty.html') {
        response.setHeader('Content-Type', TYPES['.html']);
        return response.end(EMPTY);
      }
      const rest = path.normalize(pathname.slice(mount.length) || 'index.html');
      const file = path.join(folders[mount], rest);
      response.setHeader('Content-Type', TYPES[path.extname(file)] ?? 'text/plain');
      response.end(await readFile(file));
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop: () => new Promise((resolve) => server.close(resolve).closeAllConnections?.()),
  };
}

/** A Chromium without a window, with these words on its command line besides. */
export async function browse(...words) {
  const { default: puppeteer } = await tool('puppeteer-core');
  let failure;
  for (const program of ['chromium', 'chromium-browser', 'google-chrome']) {
    try {
      const executablePath = (await output('which', [program])).trim();
      return await puppeteer.launch({
        executablePath,
        args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars', ...words],
        protocolTimeout: LONG,
        timeout: LONG,
      });
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** A page whose global `relay` is the package. */
export async function tab(browser, site) {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error('in the page:', error));
  await page.goto(`${site.url}/empty.html`);
  await page.evaluate(async () => {
    globalThis.relay = await import('/pkg/index.js');
  });
  return page;
}

/** Keeps a picture of a page, for people to look at. */
export async function picture(page, name) {
  await mkdir(pictures, { recursive: true });
  const file = path.join(pictures, `${name}.png`);
  await writeFile(file, await page.screenshot());
  return file;
}

const EMPTY = '<!doctype html><meta charset="utf-8"><title>empty</title><link rel="icon" href="data:">';
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
};
