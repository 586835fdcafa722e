"use strict";
// Plots of a sweep's trials: parallel coordinates, and slices key by key.

// Where values stand along an axis of length 1. A list of choices is spread evenly; "log:1e-4..1e-1" is logarithmic.
function axisOf(space, values) {
  const range = /^(?:(\w+):)?([^,]+)\.\.([^,:]+)/.exec(space ?? "");
  const numbers = values.filter((x) => typeof x === "number");
  if (numbers.length < values.length || (space && !range)) {
    const levels = [...new Set(values.map(String))];
    const order = (space ?? "")
      .replace(/^\w+:/, "")
      .split(",")
      .map((word) => word.trim().toLowerCase());
    levels.sort(
      (a, b) =>
        order.indexOf(a.toLowerCase()) - order.indexOf(b.toLowerCase()) || a.localeCompare(b, "en", { numeric: true }),
    );
    const at = (value) => (levels.indexOf(String(value)) + 0.5) / levels.length;
    return { at, log: false, ticks: levels.map((text) => ({ at: at(text), text })) };
  }
  const ends = [...numbers, ...(range ? [Number(range[2]), Number(range[3])] : [])].filter(Number.isFinite);
  let low = Math.min(...ends),
    high = Math.max(...ends);
  const log = range?.[1] === "log" && low > 0;
  if (!ends.length) [low, high] = [0, 1];
  if (low === high)
    [low, high] = log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const f = log ? Math.log10 : (x) => x;
  if (!range) {
    const margin = (high - low) * 0.05;
    low -= margin;
    high += margin;
  }
  const at = (value) => (f(value) - f(low)) / (f(high) - f(low));
  return { at, log, ticks: ticks(low, high, log).map((x) => ({ at: at(x), text: number(x) })) };
}

// From blue to yellow, as the colour-blind see it too (after cividis), on light ground and on dark; 1 is best.
const RAMPS = [
  [
    [0, 52, 110],
    [104, 110, 124],
    [226, 196, 64],
  ],
  [
    [72, 125, 200],
    [150, 152, 156],
    [255, 222, 90],
  ],
];
function shade(share) {
  const on = (ramp) => {
    const i = share < 0.5 ? 0 : 1;
    const part = 2 * share - i;
    return `rgb(${ramp[i].map((x, c) => Math.round(x + (ramp[i + 1][c] - x) * part)).join(" ")})`;
  };
  return `light-dark(${RAMPS.map(on).join(", ")})`;
}

function parallel(axes, { trials, winner, paint, mark, say, marked }) {
  const gap = Math.max(120, Math.min(260, 1240 / (axes.length - 1)));
  const width = gap * (axes.length - 1) + 150;
  const height = 320;
  const top = 46;
  const bottom = height - 16;
  const left = 74;
  const y = (share) => bottom - share * (bottom - top);
  const x = (i) => left + i * gap;
  const frame = svg("svg", { class: "parallel", width, height, viewBox: `0 0 ${width} ${height}` });
  const ordered = [...trials].sort(
    (a, b) => (a === winner) - (b === winner) || (a.state === "complete") - (b.state === "complete"),
  );
  frame.append(
    ...ordered.map((trial) => {
      const points = axes.map((axis, i) => [x(i), axis.value(trial)]).filter(([, value]) => value != null);
      const at = points.map(([px, value], i) => [px, y(axes[Math.round((px - left) / gap)].at(value))]);
      const path = at.map(([px, py], i) =>
        i ? `C${px - gap / 2.4} ${at[i - 1][1]} ${px - gap / 1.7} ${py} ${px} ${py}` : `M${px} ${py}`,
      );
      return mark(
        trial,
        svg(
          "path",
          { d: path.join(""), class: "trial", style: `stroke: ${paint(trial)}` },
          svg("title", {}, say(trial)),
        ),
      );
    }),
  );
  const brushes = axes.map(() => null); // [from, to] of the axis, 0 to 1
  const filter = () =>
    trials.forEach((trial) => {
      const out = axes.some(
        (axis, i) =>
          brushes[i] &&
          !(
            axis.value(trial) != null &&
            axis.at(axis.value(trial)) >= brushes[i][0] &&
            axis.at(axis.value(trial)) <= brushes[i][1]
          ),
      );
      marked.get(trial).forEach((element) => element.classList.toggle("out", out));
    });
  frame.append(
    ...axes.map((axis, i) => {
      const brush = svg("rect", { class: "brush", x: x(i) - 9, width: 18, height: 0 });
      const set = (range) => {
        brushes[i] = range;
        brush.setAttribute("y", range ? y(range[1]) : 0);
        brush.setAttribute("height", range ? y(range[0]) - y(range[1]) : 0);
        group.setAttribute(
          "aria-valuetext",
          range ? `from ${Math.round(100 * range[0])} to ${Math.round(100 * range[1])} % of the axis` : "all",
        );
        group.setAttribute("aria-valuenow", range ? Math.round(50 * (range[0] + range[1])) : 50);
        filter();
      };
      const share = (event) => {
        const box = frame.getBoundingClientRect();
        const py = ((event.clientY - box.top) * height) / box.height;
        return Math.min(1, Math.max(0, (bottom - py) / (bottom - top)));
      };
      const group = svg(
        "g",
        {
          class: "axis",
          tabindex: 0,
          role: "slider",
          "aria-label": `choose trials by ${axis.name}`,
          "aria-valuemin": 0,
          "aria-valuemax": 100,
          "aria-valuenow": 50,
          "aria-valuetext": "all",
          onpointerdown: (event) => {
            const start = share(event);
            const target = event.currentTarget;
            target.setPointerCapture(event.pointerId);
            const moved = (e) => set([Math.min(start, share(e)), Math.max(start, share(e))]);
            target.addEventListener("pointermove", moved);
            target.addEventListener(
              "pointerup",
              (e) => {
                target.removeEventListener("pointermove", moved);
                if (Math.abs(share(e) - start) < 0.01) set(null); // a click
              },
              { once: true },
            );
          },
          onkeydown: (event) => {
            const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
            const [from, to] = brushes[i] || [0.75, 1];
            if (event.key === "Escape") set(null);
            else if (way && !brushes[i]) set(way > 0 ? [0.75, 1] : [0, 0.25]);
            else if (way && event.shiftKey) set([from, Math.min(1, Math.max(from + 0.05, to + way * 0.05))]);
            else if (way) {
              const by = Math.max(-from, Math.min(1 - to, way * 0.05));
              set([from + by, to + by]);
            } else return;
            event.preventDefault();
          },
        },
        svg("line", { x1: x(i), x2: x(i), y1: top, y2: bottom }),
        svg(
          "text",
          // The last is the metric, with a long name and no room to its right.
          { class: "name", x: x(i), y: top - 28, "text-anchor": i && i === axes.length - 1 ? "end" : "middle" },
          axis.name.includes(".") ? axis.name.slice(axis.name.indexOf(".") + 1) : axis.name,
          svg("title", {}, axis.name),
        ),
        svg("text", { class: "tick", x: x(i), y: top - 14, "text-anchor": "middle" }, axis.log ? "log" : ""),
        ...axis.ticks.map((tick) =>
          svg("text", { class: "tick", x: x(i) - 8, y: y(tick.at) + 3.5, "text-anchor": "end" }, tick.text),
        ),
        svg("rect", { class: "hit", x: x(i) - 16, y: top - 8, width: 32, height: bottom - top + 16 }),
        brush,
      );
      return group;
    }),
  );
  return scroller("parallel coordinates", frame);
}

const SLICE = { width: 300, height: 210, left: 58, right: 12, top: 26, bottom: 30 };
function scatter(title, across, up, marks) {
  const { width, height, left, right, top, bottom } = SLICE;
  const x = (share) => left + 6 + share * (width - left - right - 12);
  const y = (share) => height - bottom - share * (height - top - bottom);
  return svg(
    "svg",
    { class: "slice", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title },
    svg("text", { class: "name", x: left, y: 14 }, title),
    ...up.ticks.flatMap((tick) => [
      svg("line", { class: "grid", x1: left, x2: width - right, y1: y(tick.at), y2: y(tick.at) }),
      svg("text", { class: "tick", x: left - 6, y: y(tick.at) + 3.5, "text-anchor": "end" }, tick.text),
    ]),
    ...across.ticks.map((tick) =>
      svg("text", { class: "tick", x: x(tick.at), y: height - 10, "text-anchor": "middle" }, tick.text),
    ),
    ...marks(x, y),
  );
}

const dots =
  (across, up, { trials, winner, paint, mark, say }) =>
  (x, y) =>
    [...trials]
      .sort((a, b) => (a === winner) - (b === winner))
      .filter((trial) => across.value(trial) != null && up.value(trial) != null)
      .map((trial) =>
        mark(
          trial,
          svg(
            "circle",
            {
              class: "dot",
              cx: x(across.at(across.value(trial))),
              cy: y(up.at(up.value(trial))),
              r: trial === winner ? 6 : 4,
              style: `--paint: ${paint(trial)}`,
            },
            svg("title", {}, say(trial)),
          ),
        ),
      );

const slice = (axis, result, context) =>
  scatter(axis.name + (axis.log ? " (log)" : ""), axis, result, dots(axis, result, context));

// The values in the order of the trials, and the best so far.
function progress(sweep, result, context) {
  const last = Math.max(...sweep.trials.map((trial) => trial.number), 1);
  const across = {
    ...axisOf(
      `0..${last}`,
      sweep.trials.map((trial) => trial.number),
    ),
    value: (trial) => trial.number,
  };
  let held = null;
  const path = (x, y) =>
    [...sweep.trials]
      .sort((a, b) => a.number - b.number)
      .flatMap((trial) => {
        if (trial.state !== "complete" || trial.value == null) return [];
        const before = held;
        held = held == null ? trial.value : Math[sweep.goal](held, trial.value);
        const px = x(across.at(trial.number));
        return before == null ? [`M${px} ${y(result.at(held))}`] : [`H${px}V${y(result.at(held))}`];
      })
      .join("");
  return scatter("trial, and best so far", across, result, (x, y) => [
    svg("path", { class: "record", d: path(x, y) }),
    ...dots(across, result, context)(x, y),
  ]);
}
