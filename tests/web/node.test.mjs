// Portable models in onnxruntime-node. FOLDER (see models.mjs) has the README's net.onnx and y as well.
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

test("the README's example", async () => {
  const text = readFileSync(new URL("../../README.md", import.meta.url), "utf-8");
  const [, code] = text.match(/^```js\nimport [^\n]+\n(.*?)^```$/ms);
  const AsyncFunction = (async () => {}).constructor;
  process.chdir(process.env.FOLDER);
  const y = await new AsyncFunction("ort", `${code} return y;`)(ort);
  assert.deepStrictEqual(Buffer.from(y.data.buffer), readFileSync("y"));
});
