// The models under the folder that the environment's MODELS names, with their facts.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

export function models() {
  const folder = process.env.MODELS;
  const paths = globSync("**/*.onnx", { cwd: folder }).sort();
  if (!paths.length) throw new Error(`MODELS=${folder}: no models there`);
  return paths.map((path) => ({
    name: path,
    model: readFileSync(join(folder, path)),
    facts: JSON.parse(readFileSync(join(folder, path.replace(/onnx$/, "json")), "utf-8")),
  }));
}
