// On canvases: a picture with the boxes of its faces, and the last minute as bands that add up to 100 %.

export const MINUTE = 60; // seconds
const LONGEST_GAP = 2;

const WORDS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];
const style = getComputedStyle(document.documentElement);
const colors = new Map();

/** The colour of a label; labels of other models take the seven in turn. */
export function colorOf(label) {
  if (!colors.has(label)) {
    const word = WORDS.includes(label) ? label : WORDS[colors.size % WORDS.length];
    colors.set(label, style.getPropertyValue(`--${word}`).trim());
  }
  return colors.get(label);
}

export function percent(share) {
  return `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)} %`;
}

/** Draws `image` over the whole canvas, and a box with a label around each face; both mirrored or neither. */
export function draw(canvas, image, faces, { width, height, mirrored = false, shown = -1 }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.save();
  if (mirrored) {
    pen.translate(width, 0);
    pen.scale(-1, 1);
  }
  pen.drawImage(image, 0, 0, width, height);
  pen.restore();
  const placed = faces.map((face) => mirrored ? { ...face, x1: width - face.x2, x2: width - face.x1 } : face);
  placed.forEach((face, at) => drawBox(pen, face, at === shown));
  const size = 17 * unit(canvas);
  pen.font = `600 ${size}px system-ui, sans-serif`;
  const place = (texts) => {
    const sizes = texts.map((text) => [pen.measureText(text).width + size * 1.45, size * 1.6]);
    return placeLabels(placed, sizes, width, height, size * 0.3);
  };
  let texts = placed.map((face, at) => labelOf(face, faces.length > 1 ? at + 1 : 0));
  let boxes = place(texts);
  if (faces.length > 1 && anyHides(boxes, placed)) { // no room for words: the cards have them
    texts = placed.map((face, at) => String(at + 1));
    boxes = place(texts);
  }
  boxes.forEach((box, at) => drawLabel(pen, box, texts[at], placed[at], size));
}

function anyHides(boxes, faces) {
  const all = [...faces.map((face) => [face.x1, face.y1, face.x2, face.y2]), ...boxes];
  return boxes.some((box) => all.some((other) => other !== box && shared(box, other) > 0));
}

/**
 * Where labels go so that they hide neither faces nor one another: above their face, below or beside it, else where they
 * hide least. `sizes` are [width, height]; the answer is [x1, y1, x2, y2] of each.
 */
export function placeLabels(faces, sizes, width, height, gap = 0) {
  const taken = faces.map((face) => [face.x1, face.y1, face.x2, face.y2]);
  return faces.map(({ x1, y1, x2, y2 }, at) => {
    const [w, h] = sizes[at];
    const [above, below] = [y1 - h - gap, y2 + gap];
    const places = [[x1, above], [x2 - w, above], [x1, below], [x2 - w, below], [x2 + gap, y1], [x1 - w - gap, y1],
      [x2 + gap, y2 - h], [x1 - w - gap, y2 - h], [x1, y1], [x1, y2 - h]];
    const boxes = places.map(([x, y]) => {
      const [left, top] = [Math.max(0, Math.min(x, width - w)), Math.max(0, Math.min(y, height - h))];
      return [left, top, left + w, top + h];
    });
    const hidden = boxes.map((box) => taken.reduce((sum, other) => sum + shared(box, other), 0));
    const best = boxes[hidden.indexOf(Math.min(...hidden))];
    taken.push(best);
    return best;
  });
}

function shared([ax1, ay1, ax2, ay2], [bx1, by1, bx2, by2]) {
  return Math.max(0, Math.min(ax2, bx2) - Math.max(ax1, bx1)) * Math.max(0, Math.min(ay2, by2) - Math.max(ay1, by1));
}

function labelOf(face, number) {
  return `${number ? `${number}  ` : ""}${face.emotion}${face.uncertain ? "?" : ""} ${percent(face.confidence)}`;
}

function drawBox(pen, face, shown) {
  const size = unit(pen.canvas);
  const [w, h] = [face.x2 - face.x1, face.y2 - face.y1];
  const layers = [["rgb(0 0 0 / .65)", 5], [colorOf(face.emotion), shown ? 5 : 3]];
  for (const [color, thickness] of layers) {
    pen.strokeStyle = color;
    pen.lineWidth = size * (thickness + (shown ? 2 : 0));
    pen.beginPath();
    pen.roundRect(face.x1, face.y1, w, h, Math.min(w, h) * 0.06);
    pen.stroke();
  }
}

function drawLabel(pen, [x, y, right, bottom], text, face, size) {
  const [w, h] = [right - x, bottom - y];
  pen.fillStyle = "rgb(14 14 20 / .86)";
  pen.beginPath();
  pen.roundRect(x, y, w, h, size * 0.4);
  pen.fill();
  pen.fillStyle = colorOf(face.emotion);
  pen.fillRect(x + size * 0.47, y + h * 0.28, size * 0.22, h * 0.44);
  pen.fillStyle = "#fff";
  pen.textBaseline = "middle";
  pen.fillText(text, x + size * 0.98, y + h * 0.53);
}

/** A pixel of the screen in pixels of the canvas, so that lines look alike on large and small pictures. */
function unit(canvas) {
  const shown = canvas.clientWidth || Math.min(canvas.width, 900);
  return Math.max(0.5, canvas.width / shown);
}

/** `moments`: {time in seconds, face or undefined}, oldest first. Without a face there is a gap. */
export function drawTimeline(canvas, moments, labels, now) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => side * devicePixelRatio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const x = (moment) => width * (1 - (now - moment.time) / MINUTE);
  for (const run of runs(moments)) {
    const below = run.map(() => 0);
    for (const label of [...labels].reverse()) {
      pen.beginPath();
      run.forEach((moment, at) => pen.lineTo(x(moment), height * (1 - below[at])));
      run.forEach((moment, at) => { below[at] += moment.face[label]; });
      for (let at = run.length - 1; at >= 0; at--) pen.lineTo(x(run[at]), height * (1 - below[at]));
      pen.closePath();
      pen.fillStyle = colorOf(label);
      pen.fill();
    }
  }
}

/** Moments with a face, cut where there was none, or no answer for so long. */
function runs(moments) {
  const found = [];
  let last;
  for (const moment of moments) {
    if (moment.face && last?.face && moment.time - last.time < LONGEST_GAP) found.at(-1).push(moment);
    else if (moment.face) found.push([moment]);
    last = moment;
  }
  return found;
}
