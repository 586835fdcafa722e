"use strict";
// The page, top to bottom.

const sections = [
  ...data.sweeps.map(sweepSection),
  ...(data.runs.length
    ? [curvesSection(), numbersSection(), galleriesSection(), picturesSection(), configurationSection()]
    : []),
  data.ledger.length ? ledgerSection() : null,
].filter(Boolean);

const dark = toggle(
  "Dark",
  isDark(),
  (on) => {
    document.documentElement.dataset.theme = on ? "dark" : "light";
    rethemed();
  },
  { id: "dark" },
);
systemDark.addEventListener("change", () => dark.setAttribute("aria-pressed", String(isDark())));

const ended = data.runs.filter((run) => run.state === "finished").length;
const counts = [
  data.sweeps.length && plural(data.sweeps.length, "sweep"),
  data.runs.length && `${plural(data.runs.length, "run")}, ${ended} finished`,
]
  .filter(Boolean)
  .join(" · ");

document.title = `${data.title} · fovea report`;
document.body.append(
  h(
    "header",
    { class: "top" },
    h(
      "div",
      {},
      h("p", { class: "quiet" }, "fovea report"),
      h("h1", {}, data.title),
      h("p", { class: "quiet" }, counts),
    ),
    dark,
  ),
  h(
    "nav",
    { "aria-label": "Sections" },
    ...sections.map((one) => h("a", { href: `#${one.id}` }, one.querySelector("h2").textContent)),
  ),
  h("main", {}, ...sections),
  zoomed,
);
redraw();
if (!charts.length) document.documentElement.dataset.ready = Math.round(performance.now());
