// The page: what buttons, drops and pastes do, and what is shown. One state, one way to show it.

import { Camera } from "./camera.js";
import { ClipPanel, isClip } from "./clip.js";
import { MINUTE, draw, drawTimeline } from "./drawing.js";
import { Following } from "./following.js";
import { markCard, showFaces } from "./faces.js";
import { savePicture, saveTable } from "./saving.js";
import { labels, recognize } from "./server.js";
import { Watch } from "./watch.js";

const LONG_SIDE = 1600; // of what is shown
const NOT_AS_IT_IS = [413, 422]; // too large for the server, or of a format that it does not read

const LATE = 0.15; // seconds after which a face may have left its box
const NO_FACE = "no face found";

const find = (id) => document.getElementById(id);
const [canvas, timeline, video] = ["picture", "timeline", "video"].map(find);

const state = {
  mode: "empty", // or "photo", "camera", "clip"
  image: null, // what the faces were found in: a canvas
  faces: [],
  results: [], // for the table: in pixels of the picture as it was given
  moments: [], // for the timeline
  name: "picture",
  late: false, // whether the camera's frames are answered slowly
  drawn: null, // the frame that the canvas shows, where they are late
  shown: -1, // the face whose card is pointed at
  work: 0, // counts what was started, so that late answers to earlier things are dropped
};
let words = [];
let following; // the face of the timeline
let timelineDrawn = 0;

const asked = new URLSearchParams(location.search); // "?camera" turns it on, "?watch" shows the one that the server reads
const lost = (reason) => { leaveCamera(); alarm(reason); };
const camera = asked.has("watch") ? new Watch(tellFrame, lost) : new Camera(video, tellFrame, lost);

const clip = new ClipPanel(find("clip"), alarm);
find("clip").addEventListener("closed", () => leaveClip());

const actions = {
  choose: () => find("file").click(),
  sample: () => attempt(async () => read(await (await fetch("/sample.jpg")).blob(), "sample")),
  camera: () => (state.mode === "camera" ? leaveCamera() : attempt(enterCamera)),
  freeze: () => freeze(!camera.frozen),
  theme: () => setTheme(isDark() ? "light" : "dark"),
  "save-picture": () => state.image && savePicture(state.image, state.faces, state.name),
  "save-table": () => state.results.length && saveTable(state.results, words, state.name),
};

document.addEventListener("click", (event) => actions[event.target.closest("[data-do]")?.dataset.do]?.());
find("file").addEventListener("change", ({ target }) => { takeFile(target.files); target.value = ""; });
document.addEventListener("paste", (event) => takeFile(event.clipboardData.files));
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
}
document.addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  takeFile(event.dataTransfer.files);
});
new ResizeObserver(() => state.image && show()).observe(document.querySelector(".view"));

function takeFile([file]) { // at once: browsers empty these lists when their event is over
  if (file && isClip(file)) attempt(() => enterClip(file));
  else if (file) attempt(() => read(file, file.name.replace(/\.[^.]*$/, "") || "picture", file.name));
}

/** Do it; what goes wrong becomes a sentence on the page. */
async function attempt(task) {
  alarm("");
  try {
    if (!words.length) words = await labels();
    await task();
  } catch (error) {
    alarm(error.message);
  } finally {
    document.body.classList.remove("busy");
  }
}

function alarm(sentence) {
  find("alert").textContent = sentence;
}

/** The clip in place of a picture; if it cannot be analysed, what was there before. */
async function enterClip(file) {
  const work = ++state.work;
  if (state.mode === "camera") leaveCamera();
  state.mode = "clip";
  show();
  status("");
  try {
    await clip.analyse(file);
  } catch (error) {
    if (work === state.work) leaveClip();
    throw error;
  }
}

function leaveClip() {
  state.mode = state.image ? "photo" : "empty";
  show();
  status(summary(state.faces));
}

async function read(file, name, source = name) {
  const { image, scale } = await shrink(file);
  const work = ++state.work;
  if (state.mode === "camera") camera.stop();
  if (state.mode === "clip") clip.stop();
  Object.assign(state, { mode: "photo", image, faces: [], results: [], name });
  document.body.classList.add("busy");
  show();
  status("reading …");
  let result, reduced;
  try {
    ({ result, reduced } = await recognizeAsItIs(file, image, scale));
  } catch (error) {
    status("");
    throw error;
  }
  if (work !== state.work) return;
  state.faces = leftToRight(result.faces.map((face) => enlarge(face, 1 / scale)));
  state.results = [{ ...result, source }];
  show();
  status(summary(result.faces) + (reduced ? ` (in the photo reduced to ${LONG_SIDE} pixels)` : ""));
}

/** The file goes as it is, so that its numbers are those of the command; what the server refuses, as what is shown. */
async function recognizeAsItIs(file, image, scale) {
  try {
    return { result: await recognize(file), reduced: false };
  } catch (error) {
    if (!NOT_AS_IT_IS.includes(error.status)) throw error;
  }
  const result = await recognize(await new Promise((done) => image.toBlob(done, "image/jpeg", 0.92)));
  const [width, height] = [result.width, result.height].map((side) => Math.round(side * scale));
  const faces = result.faces.map((face) => enlarge(face, scale));
  return { result: { ...result, width, height, faces }, reduced: scale > 1 };
}

/** The photo, upright, as a canvas of at most LONG_SIDE pixels, and what its sides were divided by. */
async function shrink(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error(`${file.name ?? "This"} is not a picture that this browser can show. Try JPEG, PNG or WebP.`);
  }
  const scale = Math.max(1, Math.max(bitmap.width, bitmap.height) / LONG_SIDE);
  const image = document.createElement("canvas");
  image.width = Math.max(1, Math.round(bitmap.width / scale));
  image.height = Math.max(1, Math.round(bitmap.height / scale));
  const pen = image.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = "#fff"; // below transparent pictures
  pen.fillRect(0, 0, image.width, image.height);
  pen.drawImage(bitmap, 0, 0, image.width, image.height);
  bitmap.close();
  return { image, scale };
}

/** As they stand in the picture that is shown, so that their numbers can be found there. */
function leftToRight(faces, mirrored = false) {
  const sorted = [...faces].sort((a, b) => a.x1 + a.x2 - b.x1 - b.x2);
  return mirrored ? sorted.reverse() : sorted;
}

function enlarge(face, scale) {
  const [x1, y1, x2, y2] = [face.x1, face.y1, face.x2, face.y2].map((value) => value * scale);
  return { ...face, x1, y1, x2, y2 };
}

async function enterCamera() {
  ++state.work;
  freeze(false);
  await camera.start();
  if (state.mode === "clip") clip.stop();
  following = new Following(words);
  showFollowed();
  const at = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  Object.assign(state, { mode: "camera", image: null, faces: [], results: [], moments: [], name: `camera-${at}` });
  show();
  status("looking …");
  requestAnimationFrame(animate);
}

function leaveCamera() {
  camera.stop();
  state.mode = state.image ? "photo" : "empty";
  show();
  status(summary(state.faces));
}

function freeze(frozen) {
  camera.frozen = frozen;
  document.body.classList.toggle("frozen", frozen);
  document.querySelector("[data-do=freeze]").setAttribute("aria-pressed", frozen);
  if (state.image) show();
}

function tellFrame(frame, result, seconds) {
  if (result.error) return;
  const time = performance.now() / 1000;
  Object.assign(state, { image: frame, faces: leftToRight(result.faces, camera.mirrored), late: seconds > LATE });
  state.results.push(result);
  const chosen = following.chosen;
  state.moments.push({ time, face: following.next(result.faces, time) });
  if (chosen && !following.chosen) showFollowed(); // it was lost
  const recent = state.moments.findIndex((moment) => moment.time > time - MINUTE - 1);
  state.moments.splice(0, recent);
  state.results.splice(0, recent);
  const lately = state.moments.filter((moment) => moment.time > time - 2).length / 2;
  find("rate").textContent = `live ${lately.toFixed(0)}/s`;
  showFaces(find("faces"), state.faces, words, point);
  document.body.classList.toggle("faceless", !state.faces.length);
  const seen = state.faces.length === 1 ? "1 face" : `${state.faces.length || "no"} faces`;
  if (find("status").textContent !== seen) status(seen);
}

/** The camera's picture as it comes, under the last answer's boxes; where answers are late, the frame they are of. */
function animate(now) {
  if (state.mode !== "camera") return;
  requestAnimationFrame(animate);
  if (camera.frozen) return;
  const changed = !state.late || state.drawn !== state.image;
  if ((state.late || video.videoWidth) && changed) {
    state.drawn = state.image;
    const [width, height] = state.image ? [state.image.width, state.image.height] : [video.videoWidth, video.videoHeight];
    draw(canvas, state.late ? state.image : video, state.faces, { width, height, mirrored: camera.mirrored, shown: state.shown });
  }
  if (now - timelineDrawn < 100) return;
  timelineDrawn = now;
  drawTimeline(timeline, state.moments, words, performance.now() / 1000);
}

function point(at) {
  if (at === state.shown) return;
  state.shown = at;
  if (state.image) show();
}

/** The number of the face under the pointer, or -1. */
function faceAt(event) {
  // The camera's picture stands in the middle of its place, which may have another shape.
  const scale = Math.min(canvas.clientWidth / canvas.width, canvas.clientHeight / canvas.height);
  const x = (event.offsetX - canvas.clientWidth / 2) / scale + canvas.width / 2;
  const y = (event.offsetY - canvas.clientHeight / 2) / scale + canvas.height / 2;
  const mirrored = state.mode === "camera" && camera.mirrored;
  return state.faces.findIndex(({ x1, y1, x2, y2 }) => {
    const [left, right] = mirrored ? [canvas.width - x2, canvas.width - x1] : [x1, x2];
    return left <= x && x <= right && y1 <= y && y <= y2;
  });
}

canvas.addEventListener("pointermove", (event) => {
  const at = faceAt(event);
  if (at === state.shown) return;
  markCard(find("faces"), at);
  point(at);
});
canvas.addEventListener("click", (event) => follow(state.faces[faceAt(event)]));
find("faces").addEventListener("click", (event) => {
  const card = event.target.closest(".face");
  if (card && !event.target.closest("button")) follow(state.faces[[...card.parentElement.children].indexOf(card)]);
});

/** Make the timeline that of a face; without one, that of the largest again. */
function follow(face) {
  if (state.mode !== "camera") return;
  if (face) following.choose(face);
  else following.forget();
  state.moments = [];
  showFollowed();
}

function showFollowed() {
  find("followed").textContent = following.chosen ? "of the chosen face; click beside the faces for the largest" : "of the largest face; click another to follow it";
}
canvas.addEventListener("pointerleave", () => { markCard(find("faces"), -1); point(-1); });

function show() {
  document.body.dataset.mode = state.mode;
  document.querySelector(".tools [data-do=camera]").setAttribute("aria-pressed", state.mode === "camera");
  showFaces(find("faces"), state.faces, words, point);
  document.body.classList.toggle("several", state.faces.length > 1);
  if (!state.image || state.mode === "clip" || (state.mode === "camera" && !camera.frozen)) return;
  const { width, height } = state.image;
  draw(canvas, state.image, state.faces, { width, height, mirrored: state.mode === "camera" && camera.mirrored, shown: state.shown });
  canvas.setAttribute("aria-label", `${state.name}: ${summary(state.faces)}`);
}

function status(sentence) {
  find("status").textContent = sentence;
  document.body.classList.toggle("faceless", sentence === NO_FACE);
}

function summary(faces) {
  if (!faces.length) return state.image ? NO_FACE : "";
  if (faces.length === 1) return `1 face: ${faces[0].emotion}`;
  return `${faces.length} faces`;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  showTheme();
}

function showTheme() {
  document.querySelector("[data-do=theme]").setAttribute("aria-pressed", isDark());
}

const chosen = localStorage.getItem("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
showTheme();

if (!["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) {
  find("privacy").textContent = `Pictures and clips go to ${location.hostname} and nowhere else: pictures stay in its memory, a clip is in a temporary file for an hour at most.`;
}
if (asked.has("camera") || asked.has("watch")) attempt(enterCamera);
