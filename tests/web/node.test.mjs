// Portable models in onnxruntime-node. FOLDER (see models.mjs) also has the example of docs/web.md,
// as example.js, with the net.onnx that it reads and the y that it gives.
import assert from "node:assert";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as ort from "onnxruntime-node";

import { check } from "./check.mjs";
import { models } from "./models.mjs";

// With Node 24, onnxruntime-node 1.30 takes any float16 tensor for empty: ONNX Runtime's pull request 32323.
// Without this type it uses Uint16Array, as on older Nodes.
delete globalThis.Float16Array;

for (const { name, model, facts } of models()) test(name, () => check(ort, model, facts));

test("the example of docs/web.md", async () => {
  process.chdir(process.env.FOLDER);
  const [, code] = readFileSync("example.js", "utf-8").match(/^import [^\n]+\n(.*)$/s);
  const AsyncFunction = (async () => {}).constructor;
  const y = await new AsyncFunction("ort", `${code} return y;`)(ort);
  assert.deepStrictEqual(Buffer.from(y.data.buffer), readFileSync("y"));
});
