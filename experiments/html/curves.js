"use strict";
// Curves of every metric over a shared axis of steps or of time.

const view = { axis: "steps", smoothing: 0, window: null };  // window: [from, to], or null: all there is
const charts = [];
const FAINT = 8;  // up to so many runs, the unsmoothed curve stands behind the smoothed one
const CROWD = 24;  // more runs than this are thin lines without points

// Exponential moving average, without the bias to 0 of its start; as TensorBoard's slider does.
function smooth(values, weight) {
  if (!weight) return values;
  const out = new Float32Array(values.length);
  let last = 0, seen = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!Number.isFinite(value)) { out[i] = NaN; continue; }
    last = last * weight + (1 - weight) * value;
    seen = seen * weight + (1 - weight);
    out[i] = last / seen;
  }
  return out;
}

// The first place in ascending xs that is not below x.
function place(xs, x) {
  let low = 0, high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1; else high = middle;
  }
  return low;
}

// The part of a line within [from, to], cut where it enters and leaves.
function clip({ x, y }, from, to) {
  const start = place(x, from), end = place(x, to);
  const between = (i, at) => y[i - 1] + (y[i] - y[i - 1]) * (at - x[i - 1]) / (x[i] - x[i - 1]);
  const xs = Array.from(x.subarray(start, end)), ys = Array.from(y.subarray(start, end));
  if (start > 0 && start < x.length && x[start] > from) { xs.unshift(from); ys.unshift(between(start, from)); }
  if (end < x.length) { xs.push(to); ys.push(x[end] === to || !end ? y[end] : between(end, to)); }
  return { x: xs, y: ys };
}

// Lines over one list of xs, as uPlot wants them: null is a gap, undefined is no point of this line. Where that would
// be more than two points to a column of pixels, each line keeps its extremes in each column.
function align(lines, from, to, columns) {
  const cut = lines.map((line) => clip(line, from, to));
  const distinct = new Set();
  for (const { x } of cut) {
    for (let i = 0; i < x.length && distinct.size <= 2 * columns; i++) distinct.add(x[i]);
  }
  if (distinct.size <= 2 * columns) {
    const xs = [...distinct].filter(Number.isFinite).sort((a, b) => a - b);
    const at = new Map(xs.map((x, i) => [x, i]));
    return [xs, ...cut.map(({ x, y }) => {
      const ys = new Array(xs.length);
      for (let i = 0; i < x.length; i++) if (at.has(x[i])) ys[at.get(x[i])] = Number.isFinite(y[i]) ? y[i] : null;
      return ys;
    })];
  }
  const width = (to - from) / columns;
  const xs = Array.from({ length: 2 * columns }, (_, i) => from + (i / 2 + 0.25) * width);
  return [xs, ...cut.map(({ x, y }) => {
    const ys = new Array(xs.length);
    let i = 0;
    while (i < x.length) {
      const column = Math.min(columns - 1, Math.floor((x[i] - from) / width));
      let low = -1, high = -1, first = i;
      for (; i < x.length && Math.min(columns - 1, Math.floor((x[i] - from) / width)) === column; i++) {
        if (!Number.isFinite(y[i])) continue;
        if (low < 0 || y[i] < y[low]) low = i;
        if (high < 0 || y[i] > y[high]) high = i;
      }
      if (i === first) { i++; continue; }  // an x that is no number
      ys[2 * column] = low < 0 ? null : y[Math.min(low, high)];
      if (high !== low) ys[2 * column + 1] = y[Math.max(low, high)];
    }
    return ys;
  })];
}

// As far as the longest of some runs goes, of those that are shown.
function domain(runs = data.runs.keys()) {
  let to = 0;
  for (const i of runs) {
    if (!hidden.has(i)) for (const group of data.runs[i].curves) to = Math.max(to, group.until[view.axis] ?? 0);
  }
  return [0, to || 1];
}

function zoom(from, to) {
  const [, end] = domain(), width = Math.min(Math.max(to - from, end * 1e-4), end);
  from = Math.min(Math.max(from, 0), end - width);
  view.window = width >= end ? null : [from, from + width];
  redraw();
}
const onAxis = (x) => view.axis === "steps" ? number(Math.round(x)) : duration(x);
const TIMES = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 259200, 864000];

const faint = (rgb) => rgb.replace("rgb(", "rgba(").replace(")", ", 0.25)");

const changed = [];  // whoever shows the window
let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const chart of charts) { chart.stale = true; if (chart.seen) chart.draw(); }
    changed.forEach((draw) => draw());
  });
}

const readout = h("div", { class: "readout", hidden: true, role: "status" });

class Chart {
  // curves: [{run, group, text}], what of the data is drawn
  constructor(metric, curves) {
    Object.assign(this, { metric, curves, log: false, seen: false, stale: true, plot: null, focused: null });
    const [split, name] = metric.split(/\/(.*)/s);
    this.pressLog = toggle("log", false, (on) => { this.log = on; this.again(); }, { title: "logarithmic scale" });
    const wide = toggle("wide", false, (on) => { this.element.classList.toggle("wide", on); }, { title: "full width" });
    this.body = h("div", {
      class: "plot", tabindex: 0, role: "img", onkeydown: (event) => this.key(event), onblur: () => this.leave(),
      onmouseleave: () => this.leave(),
    });
    this.element = h("article", { class: "chart", "data-metric": metric },
      h("header", {}, h("h4", {}, h("span", { class: "quiet" }, `${split}/`), name), this.pressLog, wide), this.body);
    sight.observe(this.element);
    new ResizeObserver(() => this.seen && this.draw()).observe(this.body);
    charts.push(this);
  }

  again() { this.stale = true; if (this.seen) this.draw(); }

  // Not zoomed, a chart goes as far as its own runs.
  window() { return view.window || domain(this.curves.map(({ run }) => run)); }

  setLog(on) {
    this.log = on;
    this.pressLog.setAttribute("aria-pressed", String(on));
    this.stale = true;
  }

  draw() {
    const width = this.body.clientWidth, height = this.body.clientHeight;
    if (!width || (!this.stale && this.plot && this.plot.width === width && this.plot.height === height)) return;
    this.stale = false;
    const visible = this.curves.filter(({ run }) => !hidden.has(run));
    this.body.setAttribute("aria-label", `${this.metric}, ${plural(visible.length, "run")}; arrows read, + and − zoom`);
    const both = view.smoothing > 0 && visible.length <= FAINT;
    const raw = visible.map(({ run, group, text }) => {
      const y = unpackOnce(text, Float32Array);
      const x = view.axis === "steps"
        ? unpackOnce(data.steps[group.steps], Float64Array) : unpackOnce(group.seconds, Float32Array);
      return { run, x, y };
    });
    this.lines = raw.map((line) => ({ ...line, y: smooth(line.y, view.smoothing) }));
    this.offset = both ? raw.length : 0;  // series of the raw lines, which stand first
    const [from, to] = this.window();
    const aligned = align(both ? [...raw, ...this.lines] : this.lines, from, to, Math.round(width));
    if (this.log) {
      for (const ys of aligned.slice(1)) for (let i = 0; i < ys.length; i++) if (ys[i] <= 0) ys[i] = null;
    }
    const series = aligned.slice(1).map((ys, i) => {
      const { run, x } = this.lines[i % this.lines.length], behind = i < this.offset;
      const points = Math.max(place(x, to) - place(x, from), 1);
      return {
        stroke: () => (behind ? faint(colour(run)) : colour(run)), width: behind || visible.length > CROWD ? 1 : 1.6, dash: behind ? [] : dash(run),
        points: { show: points === 1 || (!behind && visible.length <= CROWD && points < width / 14), size: 4.5, fill: () => colour(run) },
      };
    });
    this.plot?.destroy();
    this.focused = null;
    this.plot = new uPlot(this.options(width, height, from, to, series), aligned, this.body);
    this.body.querySelector(".u-axis").addEventListener("pointerdown", (event) => this.pan(event));
  }

  options(width, height, from, to, series) {
    const axis = {
      stroke: () => ink("quiet"), font: "11px system-ui, sans-serif",
      grid: { stroke: () => ink("grid"), width: 1 }, ticks: { show: false },
    };
    const steps = view.axis === "steps";
    return {
      width, height, series: [{}, ...series], legend: { show: false }, focus: { alpha: 0.18 }, padding: [8, 26, 0, 0],
      scales: {
        x: { time: false, range: () => [from, to] },
        y: { distr: this.log ? 3 : 1, range: (_, low, high) => this.range(low, high) },
      },
      axes: [
        { ...axis, size: 30, space: 64, values: (_, ticks) => ticks.map((x) => (x == null ? "" : onAxis(x))),
          ...(steps ? {} : { incrs: TIMES }) },
        { ...axis, space: 34, size: (_, texts) => 14 + 6.3 * Math.max(3, ...(texts || []).map((x) => (x || "").length)),
          values: (_, ticks) => ticks.map((y) => (y == null ? "" : number(Number(y.toPrecision(8))))) },
      ],
      cursor: {
        y: false, points: { show: false }, drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => { view.window = null; redraw(); } },
        sync: { key: "steps", setSeries: false, filters: { pub: (kind) => kind.startsWith("mouse") && !/up|down/.test(kind) } },
      },
      hooks: {
        setSelect: [(u) => {
          if (u.select.width > 4) {
            zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
          }
          u.setSelect({ width: 0, height: 0 }, false);
        }],
        setCursor: [(u) => this.read(u)],
      },
    };
  }

  range(low, high) {
    if (low == null) return [this.log ? 0.1 : 0, 1];
    if (this.log) return [low / 1.15, high * 1.15];
    const margin = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - margin, high + margin];
  }

  // The values under the cursor, of the runs nearest to it.
  read(u) {
    const { left, top } = u.cursor;
    const mine = this.body.matches(":hover") || document.activeElement === this.body;
    if (!mine || left == null || left < 0) return;
    const at = u.posToVal(left, "x"), found = [];
    this.lines.forEach(({ run, x, y }, i) => {
      if (!x.length) return;
      let j = Math.min(place(x, at), x.length - 1);
      if (j > 0 && at - x[j - 1] < x[j] - at) j--;
      if (Number.isFinite(y[j])) found.push({ run, i, x: x[j], y: y[j], far: Math.abs(u.valToPos(y[j], "y") - top) });
    });
    found.sort((a, b) => a.far - b.far);
    const nearest = found[0];
    this.focus(nearest && nearest.far < 24 ? nearest.run : null);
    if (!nearest) { readout.hidden = true; return; }
    const listed = found.slice(0, 10).sort((a, b) => b.y - a.y);
    readout.replaceChildren(
      h("div", { class: "quiet" }, `${view.axis === "steps" ? "step " : ""}${onAxis(nearest.x)}`),
      ...listed.map((line) => h("div", { class: line === nearest ? "row nearest" : "row" },
        swatch(line.run), h("b", {}, number(line.y)), h("span", {}, data.runs[line.run].label))),
      ...(found.length > listed.length ? [h("div", { class: "quiet" }, `and ${found.length - listed.length} more`)] : []));
    readout.hidden = false;
    const box = u.over.getBoundingClientRect(), size = readout.getBoundingClientRect();
    const beside = box.left + left + 16;
    const x = beside + size.width < innerWidth - 8 ? beside : box.left + left - 16 - size.width;
    readout.style.left = `${Math.max(8, Math.min(x, innerWidth - size.width - 8))}px`;
    readout.style.top = `${Math.max(8, Math.min(box.top + 12, innerHeight - size.height - 8))}px`;
  }

  leave() {
    readout.hidden = true;
    this.focus(null);
  }

  // Lets one run stand out, or none.
  focus(run) {
    if (!this.plot || this.focused === run) return;
    this.focused = run;
    const i = this.lines.findIndex((line) => line.run === run);
    this.plot.setSeries(i < 0 ? null : 1 + this.offset + i, { focus: true });
  }

  pan(event) {
    const [from, to] = this.window(), width = this.plot.over.clientWidth;
    dragging(event, (moved) => zoom(from - moved / width * (to - from), to - moved / width * (to - from)));
  }

  key(event) {
    const { plot } = this, width = plot.over.clientWidth, [from, to] = this.window();
    const at = plot.cursor.left >= 0 ? plot.cursor.left : width / 2;
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (way && event.shiftKey) zoom(from + way * (to - from) / 10, to + way * (to - from) / 10);
    else if (way) {
      const left = Math.min(Math.max(at + way * width / 50, 0), width);
      plot.setCursor({ left, top: plot.cursor.top >= 0 ? plot.cursor.top : plot.over.clientHeight / 2 });
    } else if (event.key === "+" || event.key === "=") zoom(from + (to - from) / 5, to - (to - from) / 5);
    else if (event.key === "-") zoom(from - (to - from) / 3, to + (to - from) / 3);
    else if (event.key === "Escape" || event.key === "0") { view.window = null; redraw(); this.leave(); }
    else return;
    event.preventDefault();
  }
}

// Calls move(pixels to the right) until the pointer is let go.
function dragging(event, move) {
  event.preventDefault();
  const target = event.currentTarget, start = event.clientX;
  const moved = (e) => move(e.clientX - start);
  const done = () => {
    for (const kind of ["pointerup", "pointercancel"]) target.removeEventListener(kind, done);
    target.removeEventListener("pointermove", moved);
  };
  target.setPointerCapture(event.pointerId);
  target.addEventListener("pointermove", moved);
  for (const kind of ["pointerup", "pointercancel"]) target.addEventListener(kind, done);
}

// Charts are drawn when they come into sight.
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const chart = charts.find((one) => one.element === entry.target);
    chart.seen = entry.isIntersecting;
    if (chart.seen) chart.draw();
  }
  document.documentElement.dataset.ready = Math.round(performance.now());
}, { rootMargin: "150px" });

// The whole axis, with the window that is shown: its ends and its middle are dragged, or moved by arrow keys.
function rangeBar() {
  const handle = (label, act) => h("div", {
    class: `handle ${label}`, tabindex: 0, role: "slider", "aria-label": `${label} of the shown axis`,
    onpointerdown: (event) => {
      const [from, to] = view.window || domain(), [, end] = domain(), width = bar.clientWidth;
      event.stopPropagation();
      dragging(event, (moved) => act(from, to, moved / width * end));
    },
    onkeydown: (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 }[event.key];
      const [from, to] = view.window || domain(), [, end] = domain();
      if (way) act(from, to, way * end / (event.shiftKey ? 10 : 50));
      else if (event.key === "Escape" || event.key === "0") { view.window = null; redraw(); }
      else return;
      event.preventDefault();
    },
  });
  const least = () => domain()[1] / 200;
  const middle = handle("middle", (from, to, by) => zoom(from + by, to + by));
  const start = handle("start", (from, to, by) => zoom(Math.max(0, Math.min(from + by, to - least())), to));
  const end = handle("end", (from, to, by) => zoom(from, Math.min(domain()[1], Math.max(to + by, from + least()))));
  const bar = h("div", { class: "range" }, middle, start, end);
  const text = h("output", {});
  changed.push(() => {
    const [, whole] = domain(), [from, to] = view.window || [0, whole];
    const places = { left: from / whole, right: to / whole };
    middle.style.left = start.style.left = `${100 * places.left}%`;
    middle.style.width = `${100 * (places.right - places.left)}%`;
    end.style.left = `${100 * places.right}%`;
    for (const [one, x] of [[start, from], [end, to], [middle, (from + to) / 2]]) {
      for (const [key, value] of [["min", 0], ["max", whole], ["now", x]]) one.setAttribute(`aria-value${key}`, value);
      one.setAttribute("aria-valuetext", onAxis(x));
    }
    text.textContent = `${onAxis(from)} – ${onAxis(to)}`;
  });
  return h("div", { class: "control grow" }, h("span", {}, "Shown"), bar, text,
    h("button", { type: "button", onclick: () => { view.window = null; redraw(); } }, "All"));
}

function controls() {
  const axes = ["steps", "seconds"].map((axis) => h("button", {
    type: "button", "data-axis": axis, "aria-pressed": String(axis === view.axis),
    onclick: () => {
      Object.assign(view, { axis, window: null });
      axes.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.axis === axis)));
      redraw();
    },
  }, { steps: "Step", seconds: "Wall time" }[axis]));
  const value = h("output", {}, "0");
  const smoothing = h("input", {
    type: "range", id: "smoothing", min: 0, max: 0.99, step: 0.01, value: 0,
    oninput: (event) => { view.smoothing = Number(event.target.value); value.textContent = view.smoothing; redraw(); },
  });
  const log = toggle("Log scale", false, (on) => { charts.forEach((chart) => chart.setLog(on)); redraw(); }, { id: "log" });
  return h("div", { class: "controls", role: "toolbar", "aria-label": "Curves" },
    h("div", { class: "control" }, h("span", { class: "joined" }, ...axes)),
    h("div", { class: "control" }, h("label", { for: "smoothing" }, "Smoothing"), smoothing, value),
    h("div", { class: "control" }, log), rangeBar());
}

function runList() {
  const buttons = data.runs.map((run, i) => toggle([swatch(i), h("span", { class: "name" }, named(run.label)),
    run.state === "finished" ? null : h("small", {}, run.state.split(":")[0])], true, (on, event) => {
    if (event.shiftKey) {  // this one alone
      data.runs.forEach((_, j) => (j === i ? hidden.delete(j) : hidden.add(j)));
    } else if (on) hidden.delete(i); else hidden.add(i);
    pressed();
    showing();
  }, {
    class: "run", title: `${run.label}: ${run.state}`,
    onmouseenter: () => charts.forEach((chart) => chart.seen && chart.focus(hidden.has(i) ? null : i)),
    onmouseleave: () => charts.forEach((chart) => chart.seen && chart.focus(null)),
  }));
  const pressed = () => buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(!hidden.has(i))));
  const set = (show) => () => {  // of those that the filter has left
    buttons.forEach((button, i) => { if (!button.hidden) { if (show) hidden.delete(i); else hidden.add(i); } });
    pressed();
    showing();
  };
  const filter = h("input", {
    type: "search", placeholder: "Filter runs", "aria-label": "Filter runs",
    oninput: () => buttons.forEach((button, i) => { button.hidden = !data.runs[i].label.includes(filter.value); }),
  });
  return h("details", { class: "runs", open: matchMedia("(min-width: 800px)").matches },
    h("summary", {}, plural(data.runs.length, "run")),
    h("div", { class: "row" }, filter, h("button", { type: "button", onclick: set(true) }, "All"),
      h("button", { type: "button", onclick: set(false) }, "None")),
    h("div", { class: "list" }, ...buttons),
    h("p", { class: "hint" }, "Shift-click: this run alone."));
}

function curvesSection() {
  const metrics = new Map();
  data.runs.forEach((run, i) => run.curves.forEach((group) => Object.entries(group.values).forEach(([metric, text]) => {
    if (!metrics.has(metric)) metrics.set(metric, []);
    metrics.get(metric).push({ run: i, group, text });
  })));
  if (!metrics.size) return null;
  const order = ["validation", "train", "time"], rank = (split) => (order.indexOf(split) + 1 || order.length) - 1;
  const splits = [...new Set([...metrics.keys()].map((metric) => metric.split("/")[0]))].sort((a, b) => rank(a) - rank(b));
  const groups = splits.map((split) => {
    const names = [...metrics.keys()].filter((metric) => metric.split("/")[0] === split).sort();
    return h("details", { class: "split", open: split !== "time" },
      h("summary", {}, h("h3", {}, split), h("span", { class: "quiet" }, ` ${names.length}`)),
      h("div", { class: "grid" }, ...names.map((name) => new Chart(name, metrics.get(name)).element)));
  });
  const filter = h("input", {
    type: "search", placeholder: "Filter metrics", "aria-label": "Filter metrics",
    oninput: () => charts.forEach(({ element, metric }) => { element.hidden = !metric.includes(filter.value); }),
  });
  shown.push(() => (view.window ? zoom(...view.window) : redraw()));
  themed.push(() => charts.forEach((chart) => chart.plot?.redraw(false)));
  return section("curves", "Curves", controls(), h("div", { class: "split-view" }, h("aside", {}, runList()),
    h("div", { class: "main" }, h("div", { class: "row" }, filter, h("span", { class: "hint" },
      "Drag over a curve to zoom, along its axis to move; double-click shows all.")), ...groups)), readout);
}
