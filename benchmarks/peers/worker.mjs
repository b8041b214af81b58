// worker.py for the two libraries of JavaScript: node worker.mjs face-api|human [PICTURE], in the folder of its packages.
//
// Started by compare.py, and speaks JSON, a line a message, as worker.py does. Both run on TensorFlow.js' WebAssembly backend,
// with the weights of their packages, and ask no server. Pictures are decoded by @canvas/image, as in face-api's own example.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(join(process.cwd(), "package.json")); // the packages of this environment
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
console.log = console.error; // what libraries print is no answer
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");
const { imageFromBuffer, getImageData } = require("@canvas/image");

const SIDE = 48, BATCH = 64;
const LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const folder = (name) => join(process.cwd(), "node_modules", name);
const WASM = join(folder("@tensorflow/tfjs-backend-wasm"), "dist/");

// A PNG or JPEG as a tensor of (height, width, 3), 0 to 255.
const decode = async (path) => {
  const { data, height, width } = getImageData(await imageFromBuffer(readFileSync(path)));
  return tf.tidy(() => tf.tensor(new Uint8Array(data), [height, width, 4], "int32").slice([0, 0, 0], [-1, -1, 3]));
};

class FaceApi {
  names = { fearful: "fear", disgusted: "disgust", surprised: "surprise" }; // the others are ours

  async load() {
    wasm.setWasmPaths(WASM);
    await tf.setBackend("wasm");
    this.api = require("@vladmandic/face-api/dist/face-api.node-wasm.js");
    const weights = join(folder("@vladmandic/face-api"), "model");
    for (const net of ["ssdMobilenetv1", "faceLandmark68Net", "faceExpressionNet"])
      await this.api.nets[net].loadFromDisk(weights);
  }

  best(expressions) {
    const [{ expression, probability }] = expressions.asSortedArray();
    return { label: this.names[expression] ?? expression, score: probability };
  }

  // One call for all faces. Its network wants colour, so that a grey face is three times the same.
  async classify(faces) {
    const tensors = faces.map((face) => tf.tidy(() => tf.tensor(face, [SIDE, SIDE, 1]).tile([1, 1, 3])));
    const found = await this.api.nets.faceExpressionNet.predictExpressions(tensors);
    tf.dispose(tensors);
    return found.map((expressions) => LABELS.indexOf(this.best(expressions).label));
  }

  async picture(path) {
    const pixels = await decode(path);
    const found = await this.api.detectAllFaces(pixels).withFaceLandmarks().withFaceExpressions();
    tf.dispose(pixels);
    return found.map(({ detection: { box }, expressions }) => (
      { box: [box.x, box.y, box.x + box.width, box.y + box.height], ...this.best(expressions) }));
  }
}

class Human {
  // Only its faces are asked for, and many of them (its default is one); pictures are not taken for frames of one clip.
  config = {
    backend: "wasm", wasmPath: WASM, modelBasePath: `file://${join(folder("@vladmandic/human"), "models")}/`,
    cacheSensitivity: 0,
    face: { detector: { maxDetected: 100 }, iris: { enabled: false }, description: { enabled: false } },
    body: { enabled: false }, hand: { enabled: false }, gesture: { enabled: false },
  };

  async load() {
    tf.io.registerLoadRouter((url) => (url.startsWith?.("file://") ? { load: () => this.weights(new URL(url)) } : null));
    // Its package exports no file by a path that Node.js takes for one.
    const { Human: Library } = require(join(folder("@vladmandic/human"), "dist/human.node-wasm.js"));
    this.human = new Library(this.config);
    await this.human.load();
  }

  // TensorFlow.js reads files only with its native package, so that this does it.
  weights(url) {
    const model = JSON.parse(readFileSync(url));
    const parts = model.weightsManifest.flatMap(({ paths }) => paths.map((path) => readFileSync(new URL(path, url))));
    const bytes = Buffer.concat(parts);
    const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    return { ...model, weightSpecs: model.weightsManifest.flatMap(({ weights }) => weights), weightData };
  }

  // It has no call for a face without its detector: this gives the network what its src/gear/emotion.ts does.
  async classify(faces) {
    const scores = tf.tidy(() => {
      const grey = tf.stack(faces.map((face) => tf.tensor(face, [SIDE, SIDE, 1], "float32")));
      const network = this.human.models.models.emotion;
      const side = network.inputs[0].shape[2];
      return network.execute(tf.image.resizeBilinear(grey, [side, side]).div(255).mul(0.9999).sub(0.5).mul(2)).argMax(1);
    });
    const found = await scores.array(); // its labels are ours, in our order
    tf.dispose(scores);
    return found;
  }

  async picture(path) {
    const pixels = await decode(path);
    const { face: found } = await this.human.detect(pixels);
    tf.dispose(pixels);
    return found.map(({ box: [x, y, width, height], emotion: [{ emotion, score }] }) => (
      { box: [x, y, x + width, y + height], label: emotion, score }));
  }
}

// The faces of an array of bytes that numpy.save wrote.
const faces = (path) => {
  const file = readFileSync(path);
  const pixels = file.subarray(10 + file.readUInt16LE(8));
  return Array.from({ length: pixels.length / SIDE ** 2 }, (_, i) => new Uint8Array(pixels.subarray(i * SIDE ** 2, (i + 1) * SIDE ** 2)));
};

// Seconds of the fastest of calls that take `least` seconds together, three at least: as in worker.py.
const seconds = async (call, least) => {
  const times = [];
  while (times.length < 3 || times.reduce((a, b) => a + b) < least) {
    const start = performance.now();
    await call();
    times.push((performance.now() - start) / 1000);
  }
  return Math.min(...times);
};

const peakMemory = () => Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1000;

const handle = async (system, request) => {
  if (request.do === "answers") {
    const given = faces(request.faces), found = [];
    for (let i = 0; i < given.length; i += BATCH) found.push(...await system.classify(given.slice(i, i + BATCH)));
    return { "": found };
  }
  if (request.do === "time") {
    const given = faces(request.faces).slice(0, request.n);
    return seconds(() => system.classify(given), request.seconds);
  }
  if (request.do === "time picture") return seconds(() => system.picture(request.path), request.seconds);
  return system.picture(request.path);
};

const [name, path] = process.argv.slice(2);
const system = new { "face-api": FaceApi, human: Human }[name]();
await system.load();
if (path) {
  say({ told: await system.picture(path), peak: peakMemory() });
} else {
  say("ready");
  for await (const line of createInterface({ input: process.stdin })) say(await handle(system, JSON.parse(line)));
}
