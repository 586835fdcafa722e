"use strict";
// What all parts of the report build on: elements, numbers as text, colours, and the data themselves.

const data = JSON.parse(document.getElementById("data").textContent);

// Elements are made by calls, never from text: what stands in a file is data, whatever it looks like.
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}
const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// A name that may be broken after its slashes and underscores.
const named = (text) => text.split(/(?<=[/_])/).flatMap((part, i) => (i ? [h("wbr"), part] : [part]));

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

// A button that is on or off, and says so to screen readers.
function toggle(label, pressed, onchange, attributes = {}) {
  const button = h("button", { type: "button", "aria-pressed": String(pressed), ...attributes }, label);
  button.addEventListener("click", (event) => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    onchange(on, event);
  });
  return button;
}

function section(id, title, ...children) {
  return h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), ...children);
}

// Wide content scrolls by itself, with the keyboard too, so that the page never does.
const scroller = (label, ...children) =>
  h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": label }, ...children);

function number(x) {
  if (typeof x !== "number") return x == null ? "–" : String(x);
  if (!Number.isFinite(x)) return "–";
  if (Number.isInteger(x)) return x.toLocaleString("en");
  const size = Math.abs(x);
  if (size < 1e-3 || size >= 1e7) return x.toExponential(3).replace(/\.?0+e/, "e");
  return String(Number(x.toPrecision(5)));
}

// Round numbers within a range.
function ticks(low, high, log) {
  if (log && high / low > 4) {
    const decades = Array.from(
      { length: 1 + Math.floor(Math.log10(high)) - Math.floor(Math.log10(low)) },
      (_, i) => 10 ** (Math.floor(Math.log10(low)) + i),
    );
    return decades
      .flatMap((power) => (high / low > 200 ? [1] : [1, 2, 5]).map((x) => Number((x * power).toPrecision(3))))
      .filter((x) => x >= low * 0.999 && x <= high * 1.001);
  }
  const rough = (high - low) / 4;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * [1, 2, 5, 10].find((x) => x * size >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  if (seconds < 90 && seconds !== 60) return `${Number(seconds.toPrecision(3))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 100 ? `${hours} h ${String(minutes % 60).padStart(2, "0")}` : `${hours} h`;
}

// Numbers that were packed.
function unpack(text, Kind) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return new Kind(bytes.buffer);
}
const unpacked = new Map();
function unpackOnce(text, Kind) {
  if (!unpacked.has(text)) unpacked.set(text, unpack(text, Kind));
  return unpacked.get(text);
}

// Canvases want plain colours: a variable of the style sheet, as the theme in force resolves it.
const probe = h("span", { hidden: true });
document.body.append(probe);
let inks = new Map();
function ink(name) {
  if (!inks.has(name)) {
    probe.style.color = `var(--${name})`;
    inks.set(name, getComputedStyle(probe).color);
  }
  return inks.get(name);
}

// Light or dark: as the system says until the button is pressed. Whoever draws on a canvas listens.
const themed = [];
const systemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (systemDark.matches ? "dark" : "light")) === "dark";
function rethemed() {
  inks = new Map();
  themed.forEach((draw) => draw());
}
systemDark.addEventListener("change", rethemed);

// Seven colours after Okabe and Ito, that the colour-blind can tell apart; more runs are told apart by dashes.
const COLOURS = 7;
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
const colour = (run) => ink(`run-${run % COLOURS}`);
const dash = (run) => DASHES[Math.floor(run / COLOURS) % DASHES.length];
const swatch = (run) =>
  svg(
    "svg",
    { class: "swatch", viewBox: "0 0 22 8", "aria-hidden": "true" },
    svg("line", {
      x1: 0,
      x2: 22,
      y1: 4,
      y2: 4,
      style: `stroke: var(--run-${run % COLOURS})`,
      "stroke-dasharray": dash(run).join(" ") || "none",
    }),
  );

// Which runs are shown; whoever depends on it listens.
const hidden = new Set();
const shown = [];
const showing = () => shown.forEach((draw) => draw());
