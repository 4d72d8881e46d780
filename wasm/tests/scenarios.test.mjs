// What every shell has to do, here: in a page and in Node, over WebSockets.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readFile, writeFile } from 'node:fs/promises';
import { LONG, Main, browse, output, root, serve, tool } from './world.mjs';

const folder = process.env.RELAY_SCENARIOS ?? path.join(root, 'target/wasm-scenarios');
const TOKEN = 'a-token-for-scenarios';

describe('scenarios', { timeout: LONG * 4 }, () => {
  let mains, secure, site, browser;

  before(async () => {
    const [tokens, key, certificate] = ['token', 'main.key', 'main.crt']
      .map((name) => path.join(root, 'target/wasm-scenarios', name));
    await writeFile(tokens, TOKEN, { mode: 0o600 });
    const words = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 '
      + '-subj /CN=relay -addext subjectAltName=IP:127.0.0.1';
    await output('openssl', [...words.split(' '), '-keyout', key, '-out', certificate]);
    site = await serve({ '/scenarios/': folder });
    const main = await Main.start(site, '--token-file', tokens);
    const peer = ['--token-file', tokens, '--peers', main.ws];
    mains = [main, await Main.start(site, ...peer)];
    const tls = ['--tls-key', key, '--tls-cert', certificate];
    secure = await Main.start(site, ...peer, ...tls);
    // A browser takes certificates of its own CAs only, and this one has none of ours.
    browser = await browse('--ignore-certificate-errors');
  });

  after(async () => {
    await browser?.close();
    await site?.stop();
    for (const main of mains ?? []) await main.stop();
    await secure?.stop();
  });

  async function inPage(addresses) {
    const page = await browser.newPage();
    await page.goto(`${site.url}/empty.html`);
    const run = async (mains, token) => {
      const module = await import('/scenarios/relay_wasm_scenarios.js');
      await module.default({ module_or_path: '/scenarios/relay_wasm_scenarios_bg.wasm' });
      const failures = [];
      for (const name of module.names()) {
        await module.run(name, mains, token).catch((error) => failures.push(`${name}: ${error}`));
      }
      return { count: module.names().length, failures };
    };
    const { count, failures } = await page.evaluate(run, addresses, TOKEN);
    assert.ok(count >= 23, `${count} scenarios`);
    assert.deepEqual(failures, []);
  }

  test('browser over WebSockets', async () => {
    await inPage(mains.map((main) => main.ws));
  });

  test('browser over WebSockets and TLS', async () => {
    // Its peer has no certificate.
    await inPage([secure.ws.replace('ws:', 'wss:'), mains[0].ws]);
  });

  test('node over WebSockets', async () => {
    globalThis.WebSocket ??= (await tool('ws')).default;
    const module = await import(pathToFileURL(path.join(folder, 'relay_wasm_scenarios.js')));
    const bytes = await readFile(path.join(folder, 'relay_wasm_scenarios_bg.wasm'));
    await module.default({ module_or_path: bytes });
    const failures = [];
    const addresses = mains.map((main) => main.ws);
    for (const name of module.names()) {
      await module.run(name, addresses, TOKEN).catch((error) => failures.push(`${name}: ${error}`));
    }
    assert.deepEqual(failures, []);
  });
});
