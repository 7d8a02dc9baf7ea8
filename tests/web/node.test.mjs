// Portable models in onnxruntime-node.
import test from "node:test";
import * as ort from "onnxruntime-node";

import { check } from "./check.mjs";
import { models } from "./models.mjs";

// With Node 24, onnxruntime-node 1.30 takes any float16 tensor for empty: ONNX Runtime's pull request 32323.
// Without this type it uses Uint16Array, as on older Nodes.
delete globalThis.Float16Array;

for (const { name, model, facts } of models()) test(name, () => check(ort, model, facts));
