// Runs a program that was built for wasm32-wasip1; it sees its arguments and the terminal, no files.
//
// node --no-warnings tests/tools/traces.mjs PROGRAM ARGUMENTS...

import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const args = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args });
const module = await WebAssembly.compile(await readFile(args[0]));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exitCode = wasi.start(instance);
