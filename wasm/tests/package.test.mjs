// The package as npm, TypeScript and Vite see it.

import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  LONG, Main, browse, output, packageFolder, relay, root, serve, tools, until,
} from './world.mjs';

describe('package', { timeout: LONG * 4 }, () => {
  let folder, tarball, packed;

  before(async () => {
    // Below the tools, so that what is imported there is found.
    folder = await mkdtemp(path.join(tools, 'app-'));
    const words = ['pack', '--json', '--pack-destination', folder, packageFolder];
    [packed] = JSON.parse(await output('npm', words, { cwd: folder }));
    tarball = path.join(folder, packed.filename);
  });

  after(async () => {
    if (folder) await rm(folder, { recursive: true });
  });

  test('npm packs what is needed, and nothing else', async () => {
    const files = packed.files.map((file) => file.path).sort();
    const scripts = await readdir(path.join(root, 'wasm/js'), { recursive: true });
    const written = scripts.filter((name) => /\.(js|ts)$/.test(name));
    const made = ['relay_wasm.js', 'relay_wasm_bg.wasm', 'README.md', 'package.json'];
    assert.deepEqual(files, [...written, ...made].sort());
    assert.equal(packed.name, 'relay-wasm');
  });

  test('the types say what users may write', async () => {
    const app = path.join(folder, 'types');
    await mkdir(path.join(app, 'node_modules/relay-wasm'), { recursive: true });
    await cp(packageFolder, path.join(app, 'node_modules/relay-wasm'), { recursive: true });
    await cp(path.join(root, 'wasm/tests/types.ts'), path.join(app, 'types.ts'));
    const tsc = path.join(tools, 'node_modules/typescript/bin/tsc');
    for (const resolution of [['esnext', 'bundler'], ['nodenext', 'nodenext']]) {
      const [module, moduleResolution] = resolution;
      const options = {
        strict: true, noEmit: true, target: 'es2022', lib: ['es2023', 'dom', 'dom.iterable'],
        types: [], module, moduleResolution, skipLibCheck: false, noUncheckedIndexedAccess: true,
      };
      const config = { compilerOptions: options, files: ['types.ts'] };
      await writeFile(path.join(app, 'tsconfig.json'), JSON.stringify(config));
      await writeFile(path.join(app, 'package.json'), '{ "type": "module" }');
      await output('node', [tsc, '--project', app]);
    }
  });

  test('the types name everything that is exported, and everything that has a name', async () => {
    const types = await readFile(path.join(packageFolder, 'index.d.ts'), 'utf8');
    const module = await relay();
    const declared = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map(([, name]) => name);
    const exported = Object.keys(module);
    assert.deepEqual(declared.filter((name) => name !== 'CallStream').sort(), exported.sort());
    for (const name of exported.filter((name) => /^[A-Z]/.test(name))) {
      for (let at = module[name].prototype; at !== EventTarget.prototype; ) {
        const members = Object.getOwnPropertyNames(at).filter((name) => !/^_|^constructor$/.test(name));
        for (const member of members) assert.match(types, new RegExp(`\\b${member}\\b`), member);
        at = Object.getPrototypeOf(at);
        if (at === Error.prototype || at === Object.prototype) break;
      }
    }
    const documented = await readFile(path.join(root, 'docs/errors.md'), 'utf8');
    const codes = [...documented.matchAll(/^\| \d+ \| `(\w+)`/gm)].map(([, code]) => code);
    assert.ok(codes.length > 20);
    for (const code of codes) assert.match(types, new RegExp(`'${code}'`), code);
  });

  test('an app of Vite imports the package, is built and runs', async () => {
    const app = path.join(folder, 'vite');
    await mkdir(app);
    await writeFile(
      path.join(app, 'package.json'),
      JSON.stringify({ name: 'app', private: true, type: 'module' }),
    );
    await output('npm', ['install', '--no-audit', '--no-fund', '--offline', tarball], { cwd: app });
    await writeFile(
      path.join(app, 'index.html'),
      '<!doctype html><link rel="icon" href="data:"><p id="said"></p><script type="module" src="/main.js"></script>',
    );
    await writeFile(
      path.join(app, 'main.js'),
      `import { Home } from 'relay-wasm';
       const home = await Home.connect(new URL(location).searchParams.get('main'), { nodeId: 'app' });
       await home.register('greeter', {
         greet({ name }) {
           document.querySelector('#said').textContent = 'Hello ' + name;
           return 'greeted';
         },
       });`,
    );
    const vite = path.join(tools, 'node_modules/vite/bin/vite.js');
    await output('node', [vite, 'build', '--target', 'es2022', '--logLevel', 'error'], { cwd: app });
    const site = await serve({ '/': path.join(app, 'dist') });
    const main = await Main.start(site);
    const browser = await browse();
    try {
      const page = await browser.newPage();
      await page.goto(`${site.url}/index.html?main=${main.ws}`);
      await main.offers('greeter');
      const answer = await main.rpc('greeter.greet', { name: 'Vite' });
      assert.equal(answer.result, 'greeted');
      await until('the page shows it', () =>
        page.$eval('#said', (said) => said.textContent === 'Hello Vite'));
    } finally {
      await browser.close();
      await main.stop();
      await site.stop();
    }
  });
});
