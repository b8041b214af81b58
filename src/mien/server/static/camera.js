// The camera: frames go to the server one at a time, the next when the last is answered.

import { stream } from "./server.js";

const LONG_SIDE = 640;
const PAUSE = 60; // ms between frames at least: about 16 a second leave the machine some air

const MESSAGES = {
  NotAllowedError: "The camera is blocked. Allow it for this page in the browser's address bar, then start it again.",
  NotFoundError: "There is no camera on this machine.",
  NotReadableError: "Another program is using the camera. Close it, then start the camera again.",
  OverconstrainedError: "There is no camera on this machine.",
};

export class Camera {
  /** `onResult` gets (frame as a canvas, result, seconds so far) for every result; `failed` an error message. */
  constructor(video, onResult, failed) {
    this.video = video;
    this.onResult = onResult;
    this.failed = failed;
    this.frozen = false;
    this.mirrored = true;
  }

  async start() {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers allow the camera only on https pages and on localhost: open the page by one of these.");
    }
    try {
      const preferred = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" };
      this.media = await navigator.mediaDevices.getUserMedia({ video: preferred, audio: false });
    } catch (error) {
      throw new Error(MESSAGES[error.name] ?? `The camera does not start (${error.message}).`);
    }
    this.media.getVideoTracks()[0].onended = () => this.fail("The camera was disconnected.");
    this.video.srcObject = this.media;
    await this.video.play();
    this.stream = stream((result) => this.answered(result), (reason) => this.fail(reason));
    this.send();
  }

  stop() {
    clearTimeout(this.timer);
    this.stream?.close();
    this.media?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.video.srcObject = null;
    this.media = this.stream = undefined;
  }

  fail(reason) {
    this.stop();
    this.failed(reason);
  }

  later(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), pause);
  }

  async send() {
    if (!this.stream) return;
    if (!this.stream.open || this.frozen || document.hidden) return this.later(100);
    this.sentAt = performance.now();
    const frame = capture(this.video);
    const blob = await new Promise((done) => frame.toBlob(done, "image/jpeg", 0.85));
    if (!this.stream?.open) return;
    this.frame = frame;
    this.stream.send(blob);
  }

  answered(result) {
    const seconds = (performance.now() - this.sentAt) / 1000;
    if (!this.frozen && this.frame) this.onResult(this.frame, result, seconds);
    this.later(result.error ? 500 : Math.max(0, PAUSE - (performance.now() - this.sentAt)));
  }
}

function capture(video) {
  const scale = Math.min(1, LONG_SIDE / Math.max(video.videoWidth, video.videoHeight));
  const frame = document.createElement("canvas");
  frame.width = Math.round(video.videoWidth * scale);
  frame.height = Math.round(video.videoHeight * scale);
  frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
  return frame;
}
