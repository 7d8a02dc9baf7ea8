// Runs a model and compares with facts.py's JSON; the same code in Node and in a browser. `ort` is
// onnxruntime-node or onnxruntime-web. Throws an Error that names the first difference.

const TYPED = { float16: Uint16Array, float32: Float32Array, float64: Float64Array, int64: BigInt64Array };
const BITS = { float16: Uint16Array, float32: Uint32Array, float64: BigUint64Array };
// Exponent of ones and the rest of the magnitude: a NaN where it is larger than infinity's.
const INFINITY = { float16: 0x7c00, float32: 0x7f800000, float64: 0x7ff0000000000000n };
const MAGNITUDE = { float16: 0x7fff, float32: 0x7fffffff, float64: 0x7fffffffffffffffn };

function view(Type, { buffer, byteOffset, byteLength }) {
  return new Type(buffer, byteOffset, byteLength / Type.BYTES_PER_ELEMENT);
}

function values({ type, data }) {
  return view(TYPED[type], Uint8Array.from(atob(data), (character) => character.charCodeAt(0)));
}

function requireEqual(actual, expected, what) {
  if (String(actual) !== String(expected)) throw new Error(`${what}: ${actual} is not ${expected}`);
}

// One NaN is as good as another.
function requireSameBits(actual, expected, type) {
  const isNaN = (bits) => (bits & MAGNITUDE[type]) > INFINITY[type];
  const [a, b] = [view(BITS[type], actual), view(BITS[type], expected)];
  for (let i = 0; i < b.length; ++i) {
    if (a[i] !== b[i] && !(isNaN(a[i]) && isNaN(b[i]))) {
      throw new Error(`element ${i}: bits ${a[i].toString(16)} are not ${b[i].toString(16)}`);
    }
  }
}

function requireClose(actual, expected, tolerance) {
  for (let i = 0; i < expected.length; ++i) {
    if (!(Math.abs(actual[i] - expected[i]) <= tolerance * (1 + Math.abs(expected[i])))) {
      throw new Error(`element ${i}: ${actual[i]} is not ${expected[i]}`);
    }
  }
}

function compare(output, fact, rtol) {
  requireEqual(output.type, fact.type, "type");
  requireEqual(output.dims, fact.dims, "dims");
  const expected = values(fact);
  requireEqual(output.data.length, expected.length, "length");
  if (rtol === 0) requireSameBits(output.data, expected, fact.type);
  else requireClose(output.data, expected, rtol);
}

// float16 comes as bits, or as a Float16Array where JavaScript has it.
function numbers({ type, data }) {
  if (type !== "float16") return data;
  return Array.from(view(Uint16Array, data), (bits) => {
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    const magnitude = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    return bits & 0x8000 ? -magnitude : magnitude;
  });
}

// Of two runs of one node that draws anew.
function requireFreshSlopes(x, first, second, { lower, upper }) {
  if (first.every((y, i) => y === second[i])) throw new Error("two runs drew the same slopes");
  first.forEach((y, i) => {
    if (x[i] < 0 && !(lower * 0.99 <= y / x[i] && y / x[i] <= upper * 1.01)) {
      throw new Error(`element ${i}: slope ${y / x[i]} is not from ${lower} to ${upper}`);
    }
  });
}

export async function check(ort, model, facts) {
  const session = await ort.InferenceSession.create(model);
  const feeds = {};
  for (const [name, fact] of Object.entries(facts.inputs)) {
    feeds[name] = new ort.Tensor(fact.type, values(fact), fact.dims);
  }
  const run = async () => {
    const outputs = await session.run(feeds);
    return session.outputNames.map((name) => outputs[name]);
  };
  const [first, second] = [await run(), await run()];
  await session.release();
  if (facts.rtol === undefined) {
    const [x, y, again] = [Object.values(feeds)[0], first[0], second[0]].map(numbers);
    return requireFreshSlopes(x, Array.from(y), again, facts);
  }
  for (const outputs of [first, second]) {
    requireEqual(outputs.length, facts.outputs.length, "number of outputs");
    outputs.forEach((output, i) => compare(output, facts.outputs[i], facts.rtol));
  }
}
