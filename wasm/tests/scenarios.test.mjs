// What every shell has to do, here: in a page and in Node, over WebSockets.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { readFile, writeFile } from 'node:fs/promises';
import { LONG, Main, browse, root, serve, tool } from './world.mjs';

const folder = process.env.RELAY_SCENARIOS ?? path.join(root, 'target/wasm-scenarios');
const TOKEN = 'a-token-for-scenarios';

describe('scenarios', { timeout: LONG * 4 }, () => {
  let main, site, browser;

  before(async () => {
    const tokens = path.join(root, 'target/wasm-scenarios/token');
    await writeFile(tokens, TOKEN, { mode: 0o600 });
    site = await serve({ '/scenarios/': folder });
    main = await Main.start(site, '--token-file', tokens);
    browser = await browse();
  });

  after(async () => {
    await browser?.close();
    await site?.stop();
    await main?.stop();
  });

  test('browser over WebSockets', async () => {
    const page = await browser.newPage();
    await page.goto(`${site.url}/empty.html`);
    const run = async (main, token) => {
      const module = await import('/scenarios/relay_wasm_scenarios.js');
      await module.default({ module_or_path: '/scenarios/relay_wasm_scenarios_bg.wasm' });
      const failures = [];
      for (const name of module.names()) {
        await module.run(name, main, token).catch((error) => failures.push(`${name}: ${error}`));
      }
      return { count: module.names().length, failures };
    };
    const { count, failures } = await page.evaluate(run, main.ws, TOKEN);
    assert.ok(count >= 18, `${count} scenarios`);
    assert.deepEqual(failures, []);
  });

  test('node over WebSockets', async () => {
    globalThis.WebSocket ??= (await tool('ws')).default;
    const module = await import(pathToFileURL(path.join(folder, 'relay_wasm_scenarios.js')));
    const bytes = await readFile(path.join(folder, 'relay_wasm_scenarios_bg.wasm'));
    await module.default({ module_or_path: bytes });
    const failures = [];
    for (const name of module.names()) {
      await module.run(name, main.ws, TOKEN).catch((error) => failures.push(`${name}: ${error}`));
    }
    assert.deepEqual(failures, []);
  });
});
