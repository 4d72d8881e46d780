// Replays the golden traces of a folder with the module that is there, and prints a line for each.
//
// node tests/shells/replay/web/replay.mjs FOLDER

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = resolve(process.argv[2]);
const { default: init, replay_all } = await import(pathToFileURL(`${folder}/relay_replay.mjs`));
await init({ module_or_path: await readFile(`${folder}/relay_replay_bg.wasm`) });
process.stdout.write(await replay_all(await readFile(`${folder}/traces`)));
