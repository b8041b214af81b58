// A clip: sent to the server, analysed there while its progress is shown, and in the end the page about it.

import { clipState, sendClip, stopClip } from "./server.js";

const BETWEEN = 400; // milliseconds from one question how far it is to the next

/** Whether a file is a clip, by its type or, where the browser knows none, by its name. */
export function isClip(file) {
  if (file.type.startsWith("image/")) return false;
  return file.type.startsWith("video/") || /\.(mp4|m4v|mov|qt|avi|mkv|webm|wmv|flv|mpe?g|mts|m2ts|ts|3gp|ogv)$/i.test(file.name ?? "");
}

/** One clip at a time: its progress, then the link to its page. */
export class ClipPanel {
  constructor(panel, alarm) {
    this.panel = panel;
    this.alarm = alarm;
    this.work = 0;
    this.href = null;
    this.part("stop").addEventListener("click", () => this.close());
  }

  part(name) {
    return this.panel.querySelector(`[data-part=${name}]`);
  }

  /** Analyse a file; what goes wrong is thrown. */
  async analyse(file) {
    await this.stop();
    const work = this.work;
    this.tell(file.name, "sending …", null);
    this.sending = new AbortController();
    let sending;
    try {
      sending = await sendClip(file, this.sending.signal);
    } catch (error) {
      if (work === this.work) throw error;
      return; // it was stopped
    }
    if (work !== this.work) { stopClip(sending.href); return; }
    this.href = sending.href;
    for (let state = sending; ; state = await clipState(this.href)) {
      if (work !== this.work) return;
      if (state.state !== "running") return this.end(state);
      this.tell(state.name, progress(state), state.total && state.done / state.total);
      await new Promise((later) => setTimeout(later, BETWEEN));
      if (work !== this.work) return;
    }
  }

  end(state) {
    if (state.state !== "done") {
      this.href = null;
      throw new Error(state.error ?? `${state.name} was not analysed.`);
    }
    if (state.error) this.alarm(state.error);
    const people = state.people === 1 ? "1 person" : `${state.people || "no"} people`;
    this.tell(state.name, `${people} in ${clock(state.done)}`, 1);
    this.panel.classList.add("done");
    this.part("open").href = state.page;
    this.part("save").href = state.page;
    this.part("save").download = `${state.name.replace(/\.[^.]*$/, "")}.html`;
    this.part("open").focus();
  }

  tell(name, sentence, share) {
    this.panel.classList.remove("done");
    this.part("name").textContent = name;
    this.part("sentence").textContent = sentence;
    const bar = this.part("bar");
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
  }

  /** Stop what is analysed, and forget it. */
  async stop() {
    ++this.work;
    this.sending?.abort();
    const { href } = this;
    this.href = null;
    if (href && !this.panel.classList.contains("done")) await stopClip(href);
  }

  close() {
    this.stop();
    this.panel.dispatchEvent(new CustomEvent("closed"));
  }
}

function progress({ done, total, people }) {
  const seen = people === 1 ? "1 person" : people ? `${people} people` : "no face yet";
  return `${clock(done)}${total ? ` of ${clock(total)}` : ""}, ${seen}`;
}

function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
