"use strict";
// A chart of one metric, of all runs, over an axis that it shares with the other charts.

const view = { axis: "steps", smoothing: 0, window: null }; // window: [from, to], or null: all there is
const charts = [];
const FAINT = 8; // up to so many runs, the unsmoothed curve stands behind the smoothed one
const CROWD = 24; // more runs than this are thin lines without points

// As far as the longest of some runs goes, of those that are shown.
function domain(runs = data.runs.keys()) {
  let to = 0;
  for (const i of runs) {
    if (!hidden.has(i)) for (const group of data.runs[i].curves) to = Math.max(to, group.until[view.axis] ?? 0);
  }
  return [0, to || 1];
}

function zoom(from, to) {
  const [, end] = domain();
  const width = Math.min(Math.max(to - from, end * 1e-4), end);
  from = Math.min(Math.max(from, 0), end - width);
  view.window = width >= end ? null : [from, from + width];
  redraw();
}
const onAxis = (x) => (view.axis === "steps" ? number(Math.round(x)) : duration(x));
const TIMES = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 259200, 864000];

const faint = (rgb) => rgb.replace("rgb(", "rgba(").replace(")", ", 0.25)");

const changed = []; // whoever shows the window
let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    readout.hidden = true;
    for (const chart of charts) {
      chart.stale = true;
      if (chart.seen) chart.draw();
    }
    changed.forEach((draw) => draw());
  });
}

const readout = h("div", { class: "readout", hidden: true, role: "status" });

class Chart {
  // curves: [{run, group, text}], what of the data is drawn
  constructor(metric, curves) {
    Object.assign(this, { metric, curves, log: false, seen: false, stale: true, plot: null, focused: null });
    const start = metric.indexOf("/") + 1;
    this.pressLog = toggle(
      "log",
      false,
      (on) => {
        this.log = on;
        this.again();
      },
      { title: "logarithmic scale" },
    );
    const wide = toggle(
      "wide",
      false,
      (on) => {
        this.element.classList.toggle("wide", on);
      },
      { title: "full width" },
    );
    this.body = h("div", {
      class: "plot",
      tabindex: 0,
      role: "img",
      onpointerdown: (event) => event.target === this.body.querySelector(".u-axis") && this.pan(event),
      onkeydown: (event) => this.key(event),
      onblur: () => this.leave(),
      onmouseleave: () => this.leave(),
    });
    this.element = h(
      "article",
      { class: "chart", "data-metric": metric },
      h(
        "header",
        {},
        h("h4", {}, h("span", { class: "quiet" }, metric.slice(0, start)), metric.slice(start)),
        this.pressLog,
        wide,
      ),
      this.body,
    );
    sight.observe(this.element);
    new ResizeObserver(() => this.seen && this.draw()).observe(this.body);
    charts.push(this);
  }

  again() {
    this.stale = true;
    if (this.seen) this.draw();
  }

  // Not zoomed, a chart goes as far as its own runs.
  window() {
    return view.window || domain(this.curves.map(({ run }) => run));
  }

  setLog(on) {
    this.log = on;
    this.pressLog.setAttribute("aria-pressed", String(on));
    this.stale = true;
  }

  draw() {
    const width = this.body.clientWidth;
    const height = this.body.clientHeight;
    if (!width || (!this.stale && this.plot && this.plot.width === width && this.plot.height === height)) return;
    this.stale = false;
    const visible = this.curves.filter(({ run }) => !hidden.has(run));
    this.body.setAttribute("aria-label", `${this.metric}, ${plural(visible.length, "run")}; arrows read, + and − zoom`);
    const both = view.smoothing > 0 && visible.length <= FAINT;
    const raw = visible.map(({ run, group, text }) => {
      const y = unpackOnce(text, Float32Array);
      const x =
        view.axis === "steps"
          ? unpackOnce(data.steps[group.steps], Float64Array)
          : unpackOnce(group.seconds, Float32Array);
      return { run, x, y };
    });
    this.lines = raw.map((line) => ({ ...line, y: smooth(line.y, view.smoothing) }));
    this.offset = both ? raw.length : 0; // series of the raw lines, which stand first
    const [from, to] = this.window();
    const aligned = align(both ? [...raw, ...this.lines] : this.lines, from, to, Math.round(width));
    if (this.log) {
      for (const ys of aligned.slice(1)) for (let i = 0; i < ys.length; i++) if (ys[i] <= 0) ys[i] = null;
    }
    const series = aligned.slice(1).map((ys, i) => {
      const { run, x } = this.lines[i % this.lines.length];
      const behind = i < this.offset;
      const points = Math.max(place(x, to) - place(x, from), 1);
      return {
        stroke: () => (behind ? faint(colour(run)) : colour(run)),
        width: behind || visible.length > CROWD ? 1 : 1.6,
        dash: behind ? [] : dash(run),
        points: {
          show: points === 1 || (!behind && visible.length <= CROWD && points < width / 14),
          size: 4.5,
          fill: () => colour(run),
        },
      };
    });
    this.plot?.destroy();
    this.focused = null;
    this.plot = new uPlot(this.options(width, height, from, to, series), aligned, this.body);
  }

  options(width, height, from, to, series) {
    const axis = {
      stroke: () => ink("quiet"),
      font: "11px system-ui, sans-serif",
      grid: { stroke: () => ink("grid"), width: 1 },
      ticks: { show: false },
    };
    const steps = view.axis === "steps";
    return {
      width,
      height,
      series: [{}, ...series],
      legend: { show: false },
      focus: { alpha: 0.18 },
      padding: [8, 26, 0, 0],
      scales: {
        x: { time: false, range: () => [from, to] },
        y: { distr: this.log ? 3 : 1, range: (_, low, high) => this.range(low, high) },
      },
      axes: [
        {
          ...axis,
          size: 30,
          space: 64,
          values: (_, ticks) => ticks.map((x) => (x == null ? "" : onAxis(x))),
          ...(steps ? {} : { incrs: TIMES }),
        },
        {
          ...axis,
          space: 34,
          ...(this.log ? { splits: (_, i, low, high) => ticks(low, high, true), filter: (_, all) => all } : {}),
          size: (_, texts) => 14 + 6.3 * Math.max(3, ...(texts || []).map((x) => (x || "").length)),
          values: (_, ticks) => ticks.map((y) => (y == null ? "" : number(Number(y.toPrecision(8))))),
        },
      ],
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        bind: {
          dblclick: () => () => {
            view.window = null;
            redraw();
          },
        },
        sync: {
          key: "steps",
          setSeries: false,
          filters: { pub: (kind) => kind.startsWith("mouse") && !/up|down/.test(kind) },
        },
      },
      hooks: {
        setSelect: [
          (u) => {
            if (u.select.width > 4) {
              zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
            }
            u.setSelect({ width: 0, height: 0 }, false);
          },
        ],
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
    const at = u.posToVal(left, "x");
    const found = [];
    this.lines.forEach(({ run, x, y }, i) => {
      if (!x.length) return;
      let j = Math.min(place(x, at), x.length - 1);
      if (j > 0 && at - x[j - 1] < x[j] - at) j--;
      if (Number.isFinite(y[j])) found.push({ run, i, x: x[j], y: y[j], far: Math.abs(u.valToPos(y[j], "y") - top) });
    });
    found.sort((a, b) => a.far - b.far);
    const nearest = found[0];
    this.focus(nearest && nearest.far < 24 ? nearest.run : null);
    if (!nearest) {
      readout.hidden = true;
      return;
    }
    const listed = found.slice(0, 10).sort((a, b) => b.y - a.y);
    readout.replaceChildren(
      h("div", { class: "quiet" }, `${view.axis === "steps" ? "step " : ""}${onAxis(nearest.x)}`),
      ...listed.map((line) =>
        h(
          "div",
          { class: line === nearest ? "row nearest" : "row" },
          swatch(line.run),
          h("b", {}, number(line.y)),
          h("span", {}, data.runs[line.run].label),
        ),
      ),
      ...(found.length > listed.length
        ? [h("div", { class: "quiet" }, `and ${found.length - listed.length} more`)]
        : []),
    );
    readout.hidden = false;
    const box = u.over.getBoundingClientRect();
    const size = readout.getBoundingClientRect();
    const beside = box.left + left + 16;
    const x = beside + size.width < innerWidth - 8 ? beside : box.left + left - 16 - size.width;
    readout.style.left = `${Math.max(8, Math.min(x, innerWidth - size.width - 8))}px`;
    const under = box.bottom + 34; // not over the curves that are read
    readout.style.top = `${under + size.height < innerHeight ? under : Math.max(8, box.top - size.height - 6)}px`;
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
    const [from, to] = this.window();
    const width = this.plot.over.clientWidth;
    dragging(event, (moved) => zoom(from - (moved / width) * (to - from), to - (moved / width) * (to - from)));
  }

  key(event) {
    const { plot } = this;
    const width = plot.over.clientWidth;
    const [from, to] = this.window();
    const at = plot.cursor.left >= 0 ? plot.cursor.left : width / 2;
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (way && event.shiftKey) zoom(from + (way * (to - from)) / 10, to + (way * (to - from)) / 10);
    else if (way) {
      const left = Math.min(Math.max(at + (way * width) / 50, 0), width);
      plot.setCursor({ left, top: plot.cursor.top >= 0 ? plot.cursor.top : plot.over.clientHeight / 2 });
    } else if (event.key === "+" || event.key === "=") zoom(from + (to - from) / 5, to - (to - from) / 5);
    else if (event.key === "-") zoom(from - (to - from) / 3, to + (to - from) / 3);
    else if (event.key === "Escape" || event.key === "0") {
      view.window = null;
      redraw();
      this.leave();
    } else return;
    event.preventDefault();
  }
}

// Calls move(pixels to the right) until the pointer is let go.
function dragging(event, move) {
  event.preventDefault();
  const target = event.currentTarget;
  const start = event.clientX;
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
const sight = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const chart = charts.find((one) => one.element === entry.target);
      chart.seen = entry.isIntersecting;
      if (chart.seen) chart.draw();
    }
    document.documentElement.dataset.ready = Math.round(performance.now());
  },
  { rootMargin: "150px" },
);
