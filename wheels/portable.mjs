// Portable models in a Node for Windows: node portable.mjs MODULES FOLDER. Wine gives Node no pipe to print to, so
// FOLDER/says gets the summary. The models and facts are those of tests/web.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { check } from "../tests/web/check.mjs";

const [modules, folder] = process.argv.slice(2);
const ort = createRequire(join(modules, "index.js"))("onnxruntime-node");
delete globalThis.Float16Array; // see tests/web/node.test.mjs

const models = readdirSync(folder).filter((name) => name.endsWith(".onnx"));
if (!models.length) throw new Error(`${folder}: no models there`);
for (const name of models) {
  const facts = JSON.parse(readFileSync(join(folder, name.replace(/onnx$/, "json")), "utf-8"));
  await check(ort, readFileSync(join(folder, name)), facts).catch((error) => {
    throw new Error(`${name}: ${error.message}`);
  });
}
writeFileSync(join(folder, "says"), `Node ${process.version} on ${process.platform}: ${models.length} models`);
