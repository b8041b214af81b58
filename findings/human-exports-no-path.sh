#!/usr/bin/env bash
# The files that @vladmandic/human lists under `exports` in its package.json cannot be imported by their names: the keys
# have no "./" before them ("dist/human.node-wasm.js"), and Node.js takes keys without it for conditions such as "import". All
# that is left is the package's own name, and that, in Node.js, is the build which needs the native @tensorflow/tfjs-node;
# the build for WebAssembly, which does not, opens by its path in node_modules only. Bundlers follow the same rule.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts @vladmandic/human@3.3.6

cat >run.mjs <<'JAVASCRIPT'
import { readFileSync } from "node:fs";

const described = JSON.parse(readFileSync("node_modules/@vladmandic/human/package.json", "utf8"));
const files = Object.keys(described.exports).filter((key) => key.endsWith(".js"));
console.log(`human ${described.version}, Node.js ${process.versions.node}; of ${files.length} files in "exports":`);
let changed = files.length === 0;
for (const file of files) {
  let said = "found";
  try {
    import.meta.resolve(`@vladmandic/human/${file}`);
  } catch (error) {
    said = error.code;
  }
  console.log(`  @vladmandic/human/${file}: ${said}`);
  changed ||= said !== "ERR_PACKAGE_PATH_NOT_EXPORTED";
}
const whole = import.meta.resolve("@vladmandic/human");
console.log(`  @vladmandic/human: ${whole.slice(whole.indexOf("/dist/"))}`);
changed ||= !whole.endsWith("/dist/human.node.js");
console.log(changed ? "changed" : "as described");
process.exit(changed ? 1 : 0);
JAVASCRIPT
node run.mjs
