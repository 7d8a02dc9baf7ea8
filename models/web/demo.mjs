// The page: a digit, a mode, a seed and a step in; ten probabilities out.
import * as ort from "./ort/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1; // more need headers that a simple server does not send

// digits: [{label, pixels: 64 integers from 0 to 16}]; seeds: those of the train-mode models.
const { digits, seeds } = await (await fetch("digits.json")).json();
const form = document.querySelector("form");
const bars = document.querySelector("#bars");
const status = document.querySelector("[role=status]");
const sessions = new Map();
let chosen = 0;
let latest = 0;

function session(file) {
  if (!sessions.has(file)) sessions.set(file, ort.InferenceSession.create(file));
  return sessions.get(file);
}

async function probabilities(pixels, mode, seed, step) {
  const feeds = { images: new ort.Tensor("float32", Float32Array.from(pixels, (p) => p / 16), [1, 1, 8, 8]) };
  if (mode === "train") feeds.step = new ort.Tensor("int64", BigInt64Array.of(BigInt(step)), []);
  const network = await session(mode === "train" ? `train.seed${seed}.onnx` : "eval.onnx");
  const { logits } = await network.run(feeds);
  const exps = Array.from(logits.data, (logit) => Math.exp(logit - Math.max(...logits.data)));
  const sum = exps.reduce((a, b) => a + b);
  return exps.map((e) => e / sum);
}

function showAnswer(values, label) {
  const percents = values.map((value) => `${(100 * value).toFixed(2)} %`);
  bars.querySelectorAll("meter").forEach((meter, i) => (meter.value = values[i]));
  bars.querySelectorAll("span").forEach((span, i) => (span.textContent = percents[i]));
  const answer = values.indexOf(Math.max(...values));
  status.textContent = `The network says ${answer}; the label says ${label}.`;
}

function showFailure(error) {
  sessions.clear(); // what could not be loaded may load another time
  status.textContent = `It failed: ${error.message}`;
}

async function show() {
  const { mode, seed, step } = form.elements;
  seed.disabled = step.disabled = mode.value !== "train";
  if (!form.reportValidity()) return;
  const request = ++latest;
  const { pixels, label } = digits[chosen];
  bars.ariaBusy = "true";
  const result = await probabilities(pixels, mode.value, seed.value, step.valueAsNumber).then(
    (values) => () => showAnswer(values, label),
    (error) => () => showFailure(error),
  );
  if (request !== latest) return; // a newer choice is on its way
  result();
  bars.ariaBusy = "false";
}

function picture(pixels) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
  const rgba = pixels.flatMap((p) => [...Array(3).fill(255 - (255 * p) / 16), 255]);
  canvas.getContext("2d").putImageData(new ImageData(Uint8ClampedArray.from(rgba), 8, 8), 0, 0);
  return canvas;
}

function choose(i) {
  chosen = i;
  document.querySelectorAll("#digits button").forEach((button, j) => (button.ariaPressed = String(i === j)));
  show();
}

digits.forEach(({ label, pixels }, i) => {
  const button = document.createElement("button");
  Object.assign(button, { title: `a ${label}`, onclick: () => choose(i) });
  button.append(picture(pixels));
  document.querySelector("#digits").append(button);
});
seeds.forEach((seed) => form.elements.seed.add(new Option(seed)));
for (let i = 0; i < 10; ++i) {
  const meter = Object.assign(document.createElement("meter"), { max: 1, title: `probability of ${i}` });
  const name = Object.assign(document.createElement("b"), { textContent: i });
  bars.append(name, meter, document.createElement("span"));
}
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
choose(0);
