// Draws the probabilities of one person over time: stacked bands or lines, zoom, values under the pointer.
"use strict";
(() => {
  const json = document.currentScript.previousElementSibling;
  const root = json.previousElementSibling;
  const data = JSON.parse(json.textContent);
  const WIDTH = 1000, HEIGHT = 170, LEFT = 52, RIGHT = 8, TOP = 8, BOTTOM = 24;
  const whole = { start: data.start, end: Math.max(data.end, data.start + 0.2) };
  let view = { ...whole };
  let stacked = true;

  const color = (i) => `var(--${data.labels[i]}, ${data.colors[i]})`;
  const x = (time) => LEFT + (WIDTH - LEFT - RIGHT) * (time - view.start) / (view.end - view.start);
  const y = (share) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);

  // A face that was out of sight for longer than a few frames leaves a gap.
  const runs = (points) => {
    const steps = points.slice(1).map((p, i) => p[0] - points[i][0]).sort((a, b) => a - b);
    const gap = Math.max(0.15, 3.5 * (steps[Math.floor(steps.length / 2)] || 0));
    const found = [];
    points.forEach((point, i) => {
      if (i === 0 || point[0] - points[i - 1][0] > gap) found.push([]);
      found[found.length - 1].push(point);
    });
    return found;
  };

  const path = (upper, lower) => {
    const there = upper.map(([t, v]) => `${x(t).toFixed(2)},${y(v).toFixed(2)}`);
    const back = (lower || []).map(([t, v]) => `${x(t).toFixed(2)},${y(v).toFixed(2)}`).reverse();
    return `M${[...there, ...back].join("L")}${lower ? "Z" : ""}`;
  };

  const band = (run, label) => {
    const sum = (point, end) => point.slice(1, end + 1).reduce((a, b) => a + b, 0);
    return path(run.map((p) => [p[0], sum(p, label + 1)]), run.map((p) => [p[0], sum(p, label)]));
  };

  const niceStep = (span) => {
    const steps = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
    return steps.find((step) => span / step <= 9) || 7200;
  };

  const axes = (svg) => {
    for (const share of [0, 0.5, 1]) {
      element(svg, "svg:line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share), class: "grid" });
      element(svg, "svg:text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`);
    }
    const step = niceStep(view.end - view.start);
    for (let t = Math.ceil(view.start / step - 1e-6) * step; t <= view.end + 1e-6; t += step) {
      element(svg, "svg:text", { x: x(t), y: HEIGHT - 6, "text-anchor": "middle" }, clock(t, step < 0.1 ? 2 : step < 1 ? 1 : 0));
    }
  };

  const draw = () => {
    for (const person of people.filter((one) => !one.figure.hidden)) {
      const svg = person.svg;
      svg.replaceChildren();
      axes(svg);
      const plot = element(svg, "svg:svg", { x: LEFT, y: 0, width: WIDTH - LEFT - RIGHT, height: HEIGHT,
        viewBox: `${LEFT} 0 ${WIDTH - LEFT - RIGHT} ${HEIGHT}`, overflow: "hidden" });
      for (const run of person.runs) {
        const ends = run.length > 1 ? run : [run[0], [run[0][0] + 0.04, ...run[0].slice(1)]];
        data.labels.forEach((label, i) => {
          if (stacked) element(plot, "svg:path", { d: band(ends, i) }).style.fill = color(i);
          else {
            element(plot, "svg:path", { d: path(ends.map((p) => [p[0], p[i + 1]])), fill: "none", class: "halo", "stroke-width": 3.4 });
            element(plot, "svg:path", { d: path(ends.map((p) => [p[0], p[i + 1]])), fill: "none", "stroke-width": 2.2 }).style.stroke = color(i);
          }
        });
      }
      person.mark = element(svg, "svg:line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor", visibility: "hidden" });
    }
    range.textContent = `${clock(view.start)} to ${clock(view.end)}`;
  };

  const zoom = (factor, about) => {
    const span = Math.min(whole.end - whole.start, Math.max(0.2, (view.end - view.start) * factor));
    const share = (about - view.start) / (view.end - view.start);
    move(about - share * span, span);
  };
  const move = (start, span) => {
    const first = Math.min(Math.max(start, whole.start), whole.end - span);
    view = { start: first, end: first + span };
    draw();
  };
  const timeAt = (svg, event) => {
    const place = svg.getBoundingClientRect();
    const inside = WIDTH * (event.clientX - place.left) / place.width;
    return view.start + (inside - LEFT) / (WIDTH - LEFT - RIGHT) * (view.end - view.start);
  };

  const nearest = (points, time) => points.reduce((a, b) => (Math.abs(b[0] - time) < Math.abs(a[0] - time) ? b : a));
  const read = (person, time) => {
    const point = nearest(person.points, time);
    const seen = Math.abs(point[0] - time) < Math.max(0.2, (view.end - view.start) / 100);
    const order = data.labels.map((label, i) => [label, point[i + 1]]).sort((a, b) => b[1] - a[1]);
    const words = order.slice(0, 3).map(([label, share]) => `${label} ${Math.round(100 * share)} %`).join(", ");
    person.words.textContent = seen ? `${clock(point[0], 2)}  ${words}` : `${clock(time, 2)}  out of sight`;
    person.mark.setAttribute("x1", x(time));
    person.mark.setAttribute("x2", x(time));
    person.mark.setAttribute("visibility", time >= view.start && time <= view.end ? "visible" : "hidden");
  };

  const listen = (person) => {
    const svg = person.svg;
    let held = null;
    svg.addEventListener("pointerdown", (event) => { held = { x: event.clientX, start: view.start }; });
    svg.addEventListener("pointermove", (event) => {
      if (held && event.buttons) {
        const span = view.end - view.start;
        const perPixel = span / svg.getBoundingClientRect().width * WIDTH / (WIDTH - LEFT - RIGHT);
        move(held.start - (event.clientX - held.x) * perPixel, span);
      }
      const time = Math.min(Math.max(timeAt(svg, event), view.start), view.end);
      read(person, time);
    });
    window.addEventListener("pointerup", () => { held = null; });
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;  // the page scrolls
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(svg, event));
    }, { passive: false });
  };

  const bar = element(root, "p", { class: "controls" });
  const button = (text, title, act) => {
    const made = element(bar, "button", { type: "button", title, "aria-label": title }, text);
    made.addEventListener("click", act);
    return made;
  };
  const middle = () => (view.start + view.end) / 2;
  button("+", "Zoom in", () => zoom(0.5, middle()));
  button("\u2212", "Zoom out", () => zoom(2, middle()));
  button("\u2190", "Earlier", () => move(view.start - (view.end - view.start) / 2, view.end - view.start));
  button("\u2192", "Later", () => move(view.start + (view.end - view.start) / 2, view.end - view.start));
  button("All", "Show the whole clip", () => { view = { ...whole }; draw(); });
  const kind = button("Lines", "Switch between lines and bands", () => {
    stacked = !stacked;
    kind.textContent = stacked ? "Lines" : "Bands";
    draw();
  });
  const range = element(bar, "span", { class: "range" });
  const legend = element(root, "p", { class: "legend" });
  data.labels.forEach((label, i) => {
    const item = element(legend, "span");
    const patch = element(item, "svg:svg", { width: 14, height: 14 });
    element(patch, "svg:rect", { width: 14, height: 14 }).style.fill = color(i);
    item.append(` ${label}`);
  });
  const people = data.people.map((person) => {
    const figure = element(root, "figure", { class: "timeline" });
    const caption = element(figure, "figcaption");
    const name = element(caption, "strong", {}, person.name);
    const words = element(caption, "span", { class: "read" });
    const frame = element(figure, "div", { class: "wide" });
    const svg = element(frame, "svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
      "aria-label": `Expressions of ${person.name} over time` });
    figure.hidden = true;
    return { ...person, figure, name, runs: runs(person.points), words, svg, mark: null };
  });
  people.forEach(listen);
  document.addEventListener("mien:person", (event) => {
    for (const person of people) person.figure.hidden = person.track !== event.detail;
    draw();
  });
  document.addEventListener("mien:name", ({ detail: [track, name] }) => {
    for (const person of people.filter((one) => one.track === track)) person.name.textContent = name;
  });
  document.addEventListener("mien:time", (event) => {
    for (const person of people.filter((one) => one.mark)) read(person, event.detail);
  });
})();
