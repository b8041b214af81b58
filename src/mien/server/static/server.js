// What the page asks of the server: a photo by HTTP, the camera's frames by WebSocket.

let token = sessionStorage.getItem("token") ?? "";

export class Refusal extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status; // of HTTP, or 0
  }
}

/** The result of one encoded picture, as `mien image --format json` has it. */
export async function recognize(blob) {
  const headers = { "Content-Type": "application/octet-stream" }; // whatever the browser takes it for
  const answer = await ask("/v1/recognize", { method: "POST", body: blob, headers });
  const body = await answer.json();
  if (!answer.ok) throw new Refusal(body.pictures?.[0]?.error ?? body.detail, answer.status);
  return body[0];
}

/** Sends a clip to be analysed; what it becomes is asked for at its `href`. */
export async function sendClip(file, signal) {
  const headers = { "Content-Type": "application/octet-stream" };
  return answerOf(await ask(`/v1/clips?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file, headers, signal }));
}

/** How far a clip is. */
export async function clipState(href) {
  return answerOf(await ask(href));
}

/** Stops a clip; nothing is lost if the server cannot be reached, for it stops what nobody asks for. */
export async function stopClip(href) {
  await ask(href, { method: "DELETE" }).catch(() => {});
}

async function answerOf(answer) {
  const body = await answer.json();
  if (!answer.ok) throw new Refusal(body.detail, answer.status);
  return body;
}

/** The labels of the model that is served, in its order. */
export async function labels() {
  const answer = await ask("/v1/models");
  const models = await answer.json();
  if (!answer.ok) throw new Refusal(models.detail);
  return models.find((model) => model.served).labels;
}

/** Opens the stream of frames; `onResult` gets each result, `closed` is called once when it ends. */
export function stream(onResult, closed) {
  return open("/v1/stream", (data) => onResult(JSON.parse(data)), closed);
}

/** A WebSocket; `onMessage` gets each message's data, text or blob; `closed` an error message, once, when it ends. */
export function open(path, onMessage, closed) {
  const protocols = ["mien"];
  if (token) protocols.push("mien.bearer." + base64url(token));
  const address = new URL(path, location.href.replace(/^http/, "ws"));
  const socket = new WebSocket(address, protocols);
  socket.onmessage = (message) => onMessage(message.data);
  socket.onclose = (event) => closed(event.reason || "The server has closed the stream. Start the camera again.");
  return {
    get open() { return socket.readyState === WebSocket.OPEN; },
    send: (blob) => socket.send(blob),
    close: () => { socket.onclose = null; socket.close(); },
  };
}

async function ask(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch {
      throw new Refusal("The server does not respond. Is it still running?");
    }
    if (answer.status !== 401) return answer;
    token = await askForToken();
    sessionStorage.setItem("token", token);
  }
}

function askForToken() {
  const dialog = document.getElementById("token");
  const field = dialog.querySelector("input");
  field.value = "";
  dialog.showModal();
  return new Promise((given, refused) => {
    dialog.addEventListener("close", () => {
      if (field.value) given(field.value);
      else refused(new Refusal("This server reads pictures only with its token."));
    }, { once: true });
  });
}

function base64url(text) {
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
