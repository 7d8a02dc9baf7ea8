// A headless Chromium from the npm registry, which needs nothing of the system but the C library.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { inflate } from "@sparticuz/chromium";
import { chromium } from "playwright-core";

async function unpacked(name) {
  return inflate(fileURLToPath(new URL(`../bin/${name}`, import.meta.resolve("@sparticuz/chromium"))));
}

export async function launch() {
  // Of its own: what an earlier run left may be half a file.
  process.env.TMPDIR = mkdtempSync(join(tmpdir(), "chromium-"));
  process.on("exit", () => rmSync(process.env.TMPDIR, { recursive: true }));
  const [executablePath, libraries, fonts] = await Promise.all(
    ["chromium.br", "al2023.tar.br", "fonts.tar.br"].map(unpacked),
  );
  const fontconfig = join(tmpdir(), "fonts.conf");
  const folders = `<dir>${fonts}</dir><cachedir>${join(tmpdir(), "fonts-cache")}</cachedir>`;
  writeFileSync(fontconfig, `<fontconfig>${folders}</fontconfig>`); // the packed one names folders of its own
  const env = { ...process.env, LD_LIBRARY_PATH: join(libraries, "lib"), FONTCONFIG_FILE: fontconfig };
  return chromium.launch({ executablePath, env, args: ["--no-sandbox"] });
}
