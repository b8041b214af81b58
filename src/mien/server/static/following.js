// The face that the timeline is of: the largest, or the chosen one, followed from frame to frame and smoothed over time.

const TIME_CONSTANT = 0.3; // seconds, as in mien's clips
const PATIENCE = 1; // seconds that a chosen face may be out of sight
const SAME = 0.2; // of their union that two boxes share at least

export class Following {
  constructor(labels) {
    this.labels = labels;
    this.forget();
  }

  forget() {
    Object.assign(this, { chosen: false, box: null, shares: null, time: 0 });
  }

  /** From now on this face of the last frame. */
  choose(face) {
    Object.assign(this, { chosen: true, box: face, shares: null });
  }

  /** The followed one of a frame's faces, largest first, with smoothed shares; undefined where it is not seen. */
  next(faces, time) {
    if (this.chosen && time - this.time > PATIENCE && this.shares) this.forget();
    const near = this.box && nearest(faces, this.box);
    const face = this.chosen ? near : faces[0];
    if (!face) return undefined;
    if (face !== near) this.shares = null; // another person
    const weight = this.shares ? 1 - Math.exp(-(time - this.time) / TIME_CONSTANT) : 1;
    const before = this.shares ?? face;
    this.shares = Object.fromEntries(this.labels.map((label) => [label, before[label] + weight * (face[label] - before[label])]));
    Object.assign(this, { box: face, time });
    return { ...face, ...this.shares };
  }
}

function nearest(faces, box) {
  const shared = faces.map((face) => overlap(face, box));
  const most = Math.max(0, ...shared);
  return most >= SAME ? faces[shared.indexOf(most)] : undefined;
}

/** Intersection over union. */
function overlap(a, b) {
  const width = Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1);
  const height = Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1);
  if (width <= 0 || height <= 0) return 0;
  const area = ({ x1, y1, x2, y2 }) => (x2 - x1) * (y2 - y1);
  return width * height / (area(a) + area(b) - width * height);
}
