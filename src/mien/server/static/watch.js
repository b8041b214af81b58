// A camera that the server reads: its frames and results come by themselves, and the page shows them.

import { open } from "./server.js";

export class Watch {
  /** `onResult` gets (frame as a canvas, result, Infinity) for every frame; `failed` an error message. */
  constructor(onResult, failed) {
    this.onResult = onResult;
    this.failed = failed;
    this.frozen = false;
    this.mirrored = false; // not a person who looks into a mirror
  }

  async start() {
    this.busy = false;
    this.socket = open("/v1/watch", (data) => this.take(data), (reason) => { this.stop(); this.failed(reason); });
  }

  stop() {
    this.socket?.close();
    this.socket = undefined;
  }

  async take(data) {
    if (typeof data === "string") {
      this.result = JSON.parse(data);
      return;
    }
    const result = this.result;
    if (this.busy || this.frozen || document.hidden) return;
    this.busy = true;
    try {
      const frame = await paint(data);
      if (this.socket && !this.frozen) this.onResult(frame, { ...result, faces: result.faces.map((face) => shrink(face, result.scale)) }, Infinity);
    } finally {
      this.busy = false;
    }
  }
}

async function paint(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

function shrink(face, scale) {
  const [x1, y1, x2, y2] = [face.x1, face.y1, face.x2, face.y2].map((value) => value * scale);
  return { ...face, x1, y1, x2, y2 };
}
