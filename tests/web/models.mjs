// What `nox -s web` makes: the environment's FOLDER, with models and their facts in its folder models.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

export function models() {
  const folder = join(process.env.FOLDER, "models");
  const paths = globSync("**/*.onnx", { cwd: folder }).sort();
  if (!paths.length) throw new Error(`${folder}: no models there`);
  return paths.map((path) => ({
    name: path,
    model: readFileSync(join(folder, path)),
    facts: JSON.parse(readFileSync(join(folder, path.replace(/onnx$/, "json")), "utf-8")),
  }));
}
