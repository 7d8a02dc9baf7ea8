// Portable models in onnxruntime-web, and the page of models/web, in Chromium. FOLDER (see models.mjs) has
// models.web's folder page as well and expected.py's expected.json, and gets the screenshot web.png.
import assert from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, suite, test } from "node:test";

import { launch } from "./chromium.mjs";
import { models } from "./models.mjs";

const { FOLDER } = process.env;
let server, browser, page;
const errors = [];

before(async () => {
  const address = ["0", "--bind", "127.0.0.1", "--directory", join(FOLDER, "page")];
  server = spawn("python", ["-u", "-m", "http.server", ...address], { stdio: ["ignore", "pipe", "ignore"] });
  const [line] = await once(server.stdout, "data");
  browser = await launch();
  page = await browser.newPage({ viewport: { width: 760, height: 600 } });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("requestfailed", (request) => errors.push(request.url()));
  const path = fileURLToPath(new URL("check.mjs", import.meta.url));
  await page.route("**/check.mjs", (route) => route.fulfill({ path }));
  await page.goto(`http://127.0.0.1:${String(line).match(/port (\d+)/)[1]}/`);
});

after(async () => {
  await browser?.close();
  server?.kill();
});

suite("models", () => {
  for (const { name, model, facts } of models()) {
    test(name, () =>
      page.evaluate(
        async ([base64, facts]) => {
          const ort = await import("/ort/ort.wasm.min.mjs");
          const { check } = await import("/check.mjs");
          await check(ort, Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), facts);
        },
        [model.toString("base64"), facts],
      ),
    );
  }
});

async function choose({ digit, mode, seed, step }) {
  await page.locator("#digits button").nth(digit).click();
  await page.getByLabel(mode).check();
  if (mode === "train") {
    await page.getByLabel("seed").selectOption(String(seed));
    await page.getByLabel("step").fill(String(step));
  }
  await page.locator("#bars[aria-busy=false]").waitFor();
}

suite("page", () => {
  for (const { probabilities, ...choice } of JSON.parse(readFileSync(join(FOLDER, "expected.json")))) {
    test(JSON.stringify(choice), async () => {
      await choose(choice);
      const shown = await page.locator("meter").evaluateAll((meters) => meters.map((meter) => meter.value));
      assert.strictEqual(shown.length, probabilities.length);
      shown.forEach((value, i) => assert.ok(Math.abs(value - probabilities[i]) < 1e-5, `${i}: ${value}`));
    });
  }

  test("refuses a step that is none", async () => {
    await page.getByLabel("train").check();
    await page.getByLabel("step").fill("-1");
    assert.strictEqual(await page.locator("input:invalid").count(), 1);
    await page.getByLabel("step").fill("7");
  });

  test("screenshot", async () => {
    await choose({ digit: 18, mode: "train", seed: 1, step: 7 });
    await page.screenshot({ path: join(FOLDER, "web.png") });
  });

  test("had no errors", () => assert.deepStrictEqual(errors, []));
});
