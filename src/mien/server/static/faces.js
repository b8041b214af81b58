// A card a face: the word, how sure, and a bar for each expression. Cards are changed in place, so that bars move.

import { colorOf, percent } from "./drawing.js";

const MOST_OPEN = 4; // faces; of more, each is a line that opens

const REMARKS = {
  small: "The face is small: the prediction is unreliable.",
  dark: "The face is dark: the prediction is unreliable.",
  bright: "The face is very bright: the prediction is unreliable.",
  blurred: "The face is blurred: the prediction is unreliable.",
  unclear: "The face is turned, covered, cut off or not a face: the prediction is unreliable.",
};

/** Shows the faces in the list; `pointed` gets the number of the card under the pointer, or -1. */
export function showFaces(list, faces, labels, pointed) {
  while (list.children.length > faces.length) list.lastElementChild.remove();
  while (list.children.length < faces.length) list.append(card(labels, list.children.length, pointed));
  list.classList.toggle("many", faces.length > MOST_OPEN);
  faces.forEach((face, at) => fill(list.children[at], face, labels, faces.length > 1));
}

/** Marks the card of the face that is pointed at in the picture; -1 for none. */
export function markCard(list, at) {
  [...list.children].forEach((item, number) => item.classList.toggle("shown", number === at));
  list.children[at]?.scrollIntoView({ block: "nearest" });
}

function card(labels, at, pointed) {
  const item = element("li", "face");
  const title = element("h3");
  title.append(element("span", "number", at + 1), element("span", "word"), element("span", "share"), more(item, at), element("span", "remark"));
  const bars = element("dl", "bars");
  for (const label of labels) {
    const row = element("div");
    const track = element("dd", "bar");
    track.setAttribute("aria-hidden", "true");
    track.append(element("span"));
    track.style.setProperty("--color", colorOf(label));
    row.append(element("dt", "", label), track, element("dd", "percent"));
    bars.append(row);
  }
  item.append(title, bars);
  item.addEventListener("pointerenter", () => { item.classList.add("shown"); pointed(at); });
  item.addEventListener("pointerleave", () => { item.classList.remove("shown"); pointed(-1); });
  return item;
}

/** The button that shows or hides the bars where cards are lines. */
function more(item, at) {
  const button = element("button", "more quiet");
  button.type = "button";
  const say = () => {
    const open = item.classList.contains("open");
    button.textContent = open ? "\u2212" : "+";
    button.setAttribute("aria-expanded", open);
    button.setAttribute("aria-label", `All probabilities of face ${at + 1}`);
  };
  button.addEventListener("click", () => { item.classList.toggle("open"); say(); });
  say();
  return button;
}

function fill(item, face, labels, numbered) {
  const [title, bars] = item.children;
  const [number, word, share, , remark] = title.children;
  number.hidden = !numbered;
  word.textContent = face.emotion + (face.uncertain ? "?" : "");
  word.style.setProperty("--color", colorOf(face.emotion));
  share.textContent = percent(face.confidence);
  remark.textContent = REMARKS[face.quality_issues[0]] ?? (face.uncertain ? "? means: not sure, take this one with care." : "");
  labels.forEach((label, at) => {
    const [name, track, value] = bars.children[at].children;
    track.firstElementChild.style.setProperty("--share", 100 * face[label]);
    value.textContent = percent(face[label]);
    for (const part of [name, value]) part.classList.toggle("top", label === face.emotion);
  });
}

function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}
