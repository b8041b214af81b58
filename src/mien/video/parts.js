// What the parts of a clip's page share; comes before them in the same script.
"use strict";

/** An element, or with "svg:" in front one of SVG, as the last child of `parent`. */
const element = (parent, name, attributes = {}, text = "") => {
  const made = name.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
};

/** Seconds as minutes and seconds, rounded before they are divided: 59.96 is 1:00.0. */
const clock = (seconds, digits = 1) => {
  const scale = 10 ** digits, ticks = Math.round(scale * Math.max(0, seconds));
  const rest = ((ticks % (60 * scale)) / scale).toFixed(digits);
  return `${Math.floor(ticks / (60 * scale))}:${rest.padStart(digits ? digits + 3 : 2, "0")}`;
};
