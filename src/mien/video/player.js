// The clip, and under it a line a person in step with it: a click seeks, arrow keys step, bars are episodes.
"use strict";
(() => {
  const json = document.currentScript.previousElementSibling;
  const root = json.previousElementSibling;
  const data = JSON.parse(json.textContent);
  const WIDTH = 1000, HEIGHT = 46, FLOOR = 38;  // of a lane, and where its bars stand
  const start = data.start, end = Math.max(data.end, data.start + 0.2);
  const kept = `mien names ${data.source}`;
  let now = start, video = null;

  const percent = (share) => `${Math.round(100 * share)} %`;
  const x = (time) => WIDTH * (time - start) / (end - start);

  // Names that the user gives: for this page, in this browser.
  const names = (() => {
    try { return JSON.parse(localStorage.getItem(kept)) || {}; } catch { return {}; }
  })();
  const keepNames = () => { try { localStorage.setItem(kept, JSON.stringify(names)); } catch { /* they last as long as the page */ } };
  const nameOf = (person) => names[person.track] || person.name;

  const nearest = (points, time) => {
    let low = 0, high = points.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < time) low = middle + 1; else high = middle;
    }
    return low > 0 && time - points[low - 1][0] < points[low][0] - time ? points[low - 1] : points[low];
  };
  const words = (person, time) => {
    const point = nearest(person.points, time);
    if (!point || Math.abs(point[0] - time) > Math.max(0.2, (end - start) / 200)) return "not seen";
    const best = point.slice(1).reduce((a, share, i, all) => (share > all[a] ? i : a), 0);
    return `${data.labels[best]} ${percent(point[best + 1])}`;
  };

  const show = () => {
    for (const person of people) {
      person.cursor.setAttribute("x1", x(now));
      person.cursor.setAttribute("x2", x(now));
      person.read.textContent = words(person, now);
      person.lane.setAttribute("aria-valuenow", now.toFixed(2));
      person.lane.setAttribute("aria-valuetext", `${clock(now)}, ${person.read.textContent}`);
    }
    time.textContent = `${clock(now)} of ${clock(end)}`;
    document.dispatchEvent(new CustomEvent("mien:time", { detail: now }));
  };
  const go = (to) => {
    now = Math.min(Math.max(to, start), end);
    if (video) video.currentTime = now;
    show();
  };
  const toggle = () => { if (video) video[video.paused ? "play" : "pause"](); };
  const pick = (person) => {
    for (const other of people) other.button.setAttribute("aria-pressed", other === person);
    document.dispatchEvent(new CustomEvent("mien:person", { detail: person.track }));
  };

  const draw = (person) => {
    const { lane } = person;
    for (const [from, to] of person.seen) {
      element(lane, "svg:rect", { class: "seen", x: x(from), y: 4, width: Math.max(1, x(to) - x(from)), height: FLOOR });
    }
    for (const [label, onset, offset, peak] of person.episodes) {
      const height = (FLOOR - 4) * peak, color = data.colors[label];
      const bar = element(lane, "svg:rect", {
        class: data.labels[label] === "neutral" ? "episode plain" : "episode",
        x: x(onset), y: FLOOR + 4 - height, width: Math.max(2, x(offset) - x(onset)), height });
      bar.style.fill = `var(--${data.labels[label]}, ${color})`;
      element(bar, "svg:title", {}, `${data.labels[label]}, ${clock(onset)} to ${clock(offset)}, up to ${percent(peak)}`);
    }
    person.cursor = element(lane, "svg:line", { class: "cursor", y1: 0, y2: HEIGHT });
  };

  const listen = (person) => {
    const { lane } = person;
    const timeAt = (event) => {
      const place = lane.getBoundingClientRect();
      return start + (event.clientX - place.left) / place.width * (end - start);
    };
    lane.addEventListener("pointerdown", (event) => { lane.setPointerCapture(event.pointerId); go(timeAt(event)); });
    lane.addEventListener("pointermove", (event) => { if (event.buttons) go(timeAt(event)); });
    lane.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 1 : data.step;
      const keys = { ArrowLeft: () => go(now - step), ArrowRight: () => go(now + step), Home: () => go(start),
        End: () => go(end), " ": toggle, Enter: () => pick(person) };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    person.button.addEventListener("click", () => pick(person));
    person.input.addEventListener("input", () => {
      names[person.track] = person.input.value.trim();
      keepNames();
      document.dispatchEvent(new CustomEvent("mien:name", { detail: [person.track, nameOf(person)] }));
    });
  };

  const saveNames = () => {
    const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const rows = people.map((person) => [data.source, String(person.track), names[person.track] || ""].map(cell).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([["clip,track,person", ...rows, ""].join("\n")], { type: "text/csv" }));
    link.download = "people.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };

  root.textContent = "";
  if (data.clip) {
    video = element(root, "video", { src: data.clip, controls: "", preload: "metadata", playsinline: "", "aria-label": "The clip" });
    video.addEventListener("error", () => {
      video.replaceWith(Object.assign(document.createElement("p"), { className: "note",
        textContent: `The clip cannot be played here: it is not at ${data.clip}, or this browser does not know its codec.` }));
      video = null;
    });
    const follow = () => { now = Math.min(Math.max(video ? video.currentTime : now, start), end); show(); if (video && !video.paused) requestAnimationFrame(follow); };
    video.addEventListener("play", follow);
    video.addEventListener("seeked", follow);
  }
  const bar = element(root, "p", { class: "controls" });
  const time = element(bar, "span", { class: "range" });
  const table = element(root, "div", { class: "people" });
  const people = data.people.map((person) => {
    const row = element(table, "div", { class: "person" });
    const button = element(row, "button", { type: "button", class: "face", "aria-pressed": "false",
      "aria-label": `Probabilities of ${person.name}`, title: "Show all probabilities below" });
    if (person.face) element(button, "img", { src: person.face, alt: "", width: 48, height: 48 });
    else button.textContent = person.track;
    const about = element(row, "div", { class: "about" });
    const input = element(about, "input", { value: names[person.track] || "", placeholder: person.name, "aria-label": `Name of ${person.name}` });
    element(about, "span", { class: "soft" }, `track ${person.track}, seen ${person.total.toFixed(1)} s`);
    const read = element(about, "span", { class: "at" });
    const lane = element(row, "svg:svg", { class: "lane", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", tabindex: 0,
      role: "slider", "aria-label": `Time of the clip, episodes of ${person.name}`, "aria-valuemin": start, "aria-valuemax": end });
    return { ...person, button, input, read, lane };
  });
  people.forEach(draw);
  people.forEach(listen);
  const save = element(bar, "button", { type: "button", title: "As mien study --people takes it" }, "Save names");
  save.addEventListener("click", saveNames);
  const shown = data.labels.filter((label, i) => people.some((person) => person.episodes.some((one) => one[0] === i)));
  const legend = element(root, "p", { class: "legend" });
  for (const label of shown) {
    const item = element(legend, "span");
    const patch = element(item, "svg:svg", { width: 14, height: 14 });
    element(patch, "svg:rect", { width: 14, height: 14 }).style.fill = `var(--${label}, ${data.colors[data.labels.indexOf(label)]})`;
    item.append(` ${label}`);
  }
  show();
  // Once the rest of the page is there, which listens.
  addEventListener("DOMContentLoaded", () => { if (people.length) pick(people[0]); });
})();
