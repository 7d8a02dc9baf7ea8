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

async function shown() {
  await page.locator("#bars[aria-busy=false]").waitFor();
  return page.locator("meter").evaluateAll((meters) => meters.map((meter) => meter.value));
}

function assertClose(actual, expected) {
  assert.strictEqual(actual.length, expected.length);
  actual.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]) < 1e-5, `${i}: ${value} is not ${expected[i]}`);
  });
}

async function choose({ digit, mode, seed, step }) {
  await page.locator("#digits button").nth(digit).click();
  await page.getByLabel(mode).check();
  if (mode === "train") {
    await page.getByLabel("seed").selectOption(String(seed));
    await page.getByLabel("step").fill(String(step));
  }
}

suite("page", () => {
  const cases = JSON.parse(readFileSync(join(FOLDER, "expected.json")));
  for (const { probabilities, ...choice } of cases) {
    test(JSON.stringify(choice), async () => {
      await choose(choice);
      assertClose(await shown(), probabilities);
    });
  }

  test("shows the last choice, however late an earlier one's model comes", async () => {
    const { probabilities, ...choice } = cases.findLast(({ mode }) => mode === "eval");
    const model = "**/train.seed2.onnx";
    const { promise: released, resolve: release } = Promise.withResolvers();
    await page.route(model, (route) => released.then(() => route.continue()));
    await page.reload();
    await choose({ ...choice, mode: "train", seed: 2, step: 0 });
    await choose(choice);
    const response = page.waitForResponse(model);
    release();
    await (await response).finished();
    await page.waitForTimeout(1000); // for the session; were this too short, the test could miss an error only
    assertClose(await shown(), probabilities);
    await page.unroute(model);
  });

  test("refuses a step that is none", async () => {
    await page.getByLabel("train").check();
    await page.getByLabel("step").fill("-1");
    assert.strictEqual(await page.locator("input:invalid").count(), 1);
  });

  test("says what failed, and works when it can again", async () => {
    const { probabilities, ...choice } = cases.find(({ mode }) => mode === "train");
    await page.route("**/*.onnx", (route) => route.abort());
    await page.reload();
    await choose(choice);
    await page.getByText(/^It failed: /).waitFor();
    await page.unroute("**/*.onnx");
    await choose({ ...choice, mode: "eval" });
    await choose(choice);
    assertClose(await shown(), probabilities);
    errors.splice(0);
  });

  test("screenshot", async () => {
    await choose({ digit: 18, mode: "train", seed: 1, step: 7 });
    await shown();
    await page.screenshot({ path: join(FOLDER, "web.png") });
  });

  test("had no errors", () => assert.deepStrictEqual(errors, []));
});
