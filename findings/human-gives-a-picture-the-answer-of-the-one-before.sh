#!/usr/bin/env bash
# @vladmandic/human answers for a picture with the expression of the picture before it if both have one size and differ
# little: by default (`cacheSensitivity: 0.7`) by less than 178.5 in the mean square over all pixels, about 13 of 255 grey
# levels everywhere, which a change of one face in a picture seldom reaches. The second picture here is the first
# with its mouth covered, and gets the first's expression to the last digit, within 1.5 seconds; nothing in the
# result says so. `cacheSensitivity: 0` reads every picture. The configuration describes the setting as a share: "0.01 means
# reset cache if input changed more than 1%", of which 0.7 would be 70 %.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet scikit-image==0.26.0 numpy==2.4.6 2>/dev/null # for its photograph of an astronaut, 512 x 512
venv/bin/python -c "from skimage import data; open('astronaut.rgb', 'wb').write(data.astronaut().tobytes())"
npm install --silent --no-audit --no-fund --ignore-scripts \
  @vladmandic/human@3.3.6 @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0

cat >run.cjs <<'JAVASCRIPT'
const fs = require("node:fs");
const { join } = require("node:path");
const tf = require("@tensorflow/tfjs");
const packages = join(process.cwd(), "node_modules");

// Without its native package TensorFlow.js reads no files: this hands it the weights of the package.
tf.io.registerLoadRouter((url) => (String(url).startsWith("file://") ? {
  load() {
    const model = JSON.parse(fs.readFileSync(new URL(url)));
    const bytes = model.weightsManifest.flatMap((group) => group.paths.map((path) => fs.readFileSync(new URL(path, url))));
    const weightSpecs = model.weightsManifest.flatMap((group) => group.weights);
    return { ...model, weightSpecs, weightData: new Uint8Array(Buffer.concat(bytes)).buffer };
  },
} : null));
const { Human } = require(join(packages, "@vladmandic/human/dist/human.node-wasm.js"));

const astronaut = new Uint8Array(fs.readFileSync("astronaut.rgb"));
const covered = astronaut.slice();
for (let y = 135; y < 160; y++) covered.fill(128, 3 * (512 * y + 205), 3 * (512 * y + 250)); // 0.4 % of the pixels

// What human says of one picture after the other.
const told = async (settings) => {
  const human = new Human({
    backend: "wasm", wasmPath: join(packages, "@tensorflow/tfjs-backend-wasm/dist/"),
    modelBasePath: `file://${join(packages, "@vladmandic/human/models/")}`,
    face: { iris: { enabled: false }, description: { enabled: false } }, body: { enabled: false }, hand: { enabled: false },
    ...settings,
  });
  const read = (pixels) => human.detect(tf.tensor(pixels, [512, 512, 3], "int32"));
  await human.load();
  await read(new Uint8Array(512 * 512 * 3)); // loads what is slow, and finds nothing
  await read(astronaut);
  const found = [];
  for (const pixels of [astronaut, covered]) {
    const { face } = await read(pixels);
    found.push(JSON.stringify(face.map(({ emotion }) => emotion)));
  }
  return found;
};

(async () => {
  const usual = await told({});
  const each = await told({ cacheSensitivity: 0 });
  console.log(`human ${require(join(packages, "@vladmandic/human/package.json")).version}`);
  console.log(`by default:          astronaut ${usual[0]}\n                     covered   ${usual[1]}`);
  console.log(`cacheSensitivity: 0: astronaut ${each[0]}\n                     covered   ${each[1]}`);
  const same = usual[0] === usual[1] && usual[0] === each[0] && usual[0].includes("happy") && each[0] !== each[1];
  console.log(same ? "as described" : "changed");
  process.exit(same ? 0 : 1);
})();
JAVASCRIPT
node run.cjs
