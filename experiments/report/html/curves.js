"use strict";
// The curves of every metric, and what governs them: the axis, smoothing, the scale, and which runs are shown.

// The whole axis, with the window that is shown: its ends and its middle are dragged, or moved by arrow keys.
function rangeBar() {
  const handle = (label, act) =>
    h("div", {
      class: `handle ${label}`,
      tabindex: 0,
      role: "slider",
      "aria-label": `${label} of the shown axis`,
      onpointerdown: (event) => {
        const [from, to] = view.window || domain();
        const [, end] = domain();
        const width = bar.clientWidth;
        event.stopPropagation();
        dragging(event, (moved) => act(from, to, (moved / width) * end));
      },
      onkeydown: (event) => {
        const way = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 }[event.key];
        const [from, to] = view.window || domain();
        const [, end] = domain();
        if (way) act(from, to, (way * end) / (event.shiftKey ? 10 : 50));
        else if (event.key === "Escape" || event.key === "0") {
          view.window = null;
          redraw();
        } else return;
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
    const [, whole] = domain();
    const [from, to] = view.window || [0, whole];
    const places = { left: from / whole, right: to / whole };
    middle.style.left = start.style.left = `${100 * places.left}%`;
    middle.style.width = `${100 * (places.right - places.left)}%`;
    end.style.left = `${100 * places.right}%`;
    for (const [one, x] of [
      [start, from],
      [end, to],
      [middle, (from + to) / 2],
    ]) {
      for (const [key, value] of [
        ["min", 0],
        ["max", whole],
        ["now", x],
      ])
        one.setAttribute(`aria-value${key}`, value);
      one.setAttribute("aria-valuetext", onAxis(x));
    }
    text.textContent = `${onAxis(from)} – ${onAxis(to)}`;
  });
  return h(
    "div",
    { class: "control grow" },
    h("span", {}, "Shown"),
    bar,
    text,
    h(
      "button",
      {
        type: "button",
        onclick: () => {
          view.window = null;
          redraw();
        },
      },
      "All",
    ),
  );
}

function controls() {
  const axes = ["steps", "seconds"].map((axis) =>
    h(
      "button",
      {
        type: "button",
        "data-axis": axis,
        "aria-pressed": String(axis === view.axis),
        onclick: () => {
          Object.assign(view, { axis, window: null });
          axes.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.axis === axis)));
          redraw();
        },
      },
      { steps: "Step", seconds: "Wall time" }[axis],
    ),
  );
  const value = h("output", {}, "0");
  const smoothing = h("input", {
    type: "range",
    id: "smoothing",
    min: 0,
    max: 0.99,
    step: 0.01,
    value: 0,
    oninput: (event) => {
      view.smoothing = Number(event.target.value);
      value.textContent = view.smoothing;
      redraw();
    },
  });
  const log = toggle(
    "Log scale",
    false,
    (on) => {
      charts.forEach((chart) => chart.setLog(on));
      redraw();
    },
    { id: "log" },
  );
  return h(
    "div",
    { class: "controls", role: "toolbar", "aria-label": "Curves" },
    h("div", { class: "control" }, h("span", { class: "joined" }, ...axes)),
    h("div", { class: "control" }, h("label", { for: "smoothing" }, "Smoothing"), smoothing, value),
    h("div", { class: "control" }, log),
    rangeBar(),
  );
}

function runList() {
  const buttons = data.runs.map((run, i) =>
    toggle(
      [
        swatch(i),
        h("span", { class: "name" }, named(run.label)),
        run.state === "finished" ? null : h("small", {}, run.state.split(":")[0]),
      ],
      true,
      (on, event) => {
        if (event.shiftKey) {
          // this one alone
          data.runs.forEach((_, j) => (j === i ? hidden.delete(j) : hidden.add(j)));
        } else if (on) hidden.delete(i);
        else hidden.add(i);
        pressed();
        showing();
      },
      {
        class: "run",
        title: `${run.label}: ${run.state}`,
        onmouseenter: () => charts.forEach((chart) => chart.seen && chart.focus(hidden.has(i) ? null : i)),
        onmouseleave: () => charts.forEach((chart) => chart.seen && chart.focus(null)),
      },
    ),
  );
  const pressed = () => buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(!hidden.has(i))));
  const set = (show) => () => {
    // of those that the filter has left
    buttons.forEach((button, i) => {
      if (!button.hidden) {
        if (show) hidden.delete(i);
        else hidden.add(i);
      }
    });
    pressed();
    showing();
  };
  const filter = h("input", {
    type: "search",
    placeholder: "Filter runs",
    "aria-label": "Filter runs",
    oninput: () =>
      buttons.forEach((button, i) => {
        button.hidden = !data.runs[i].label.includes(filter.value);
      }),
  });
  return h(
    "details",
    { class: "runs", open: matchMedia("(min-width: 800px)").matches },
    h("summary", {}, plural(data.runs.length, "run")),
    h(
      "div",
      { class: "row" },
      filter,
      h("button", { type: "button", onclick: set(true) }, "All"),
      h("button", { type: "button", onclick: set(false) }, "None"),
    ),
    h("div", { class: "list" }, ...buttons),
    h("p", { class: "hint" }, "Shift-click: this run alone."),
  );
}

function curvesSection() {
  const metrics = new Map();
  data.runs.forEach((run, i) =>
    run.curves.forEach((group) =>
      Object.entries(group.values).forEach(([metric, text]) => {
        if (!metrics.has(metric)) metrics.set(metric, []);
        metrics.get(metric).push({ run: i, group, text });
      }),
    ),
  );
  if (!metrics.size) return null;
  const order = ["validation", "train", "time"];
  const rank = (split) => (order.indexOf(split) + 1 || order.length) - 1;
  const splits = [...new Set([...metrics.keys()].map((metric) => metric.split("/")[0]))].sort(
    (a, b) => rank(a) - rank(b),
  );
  const groups = splits.map((split) => {
    const names = [...metrics.keys()].filter((metric) => metric.split("/")[0] === split).sort();
    return h(
      "details",
      { class: "split", open: split !== "time" },
      h("summary", {}, h("h3", {}, split), h("span", { class: "quiet" }, ` ${names.length}`)),
      h("div", { class: "grid" }, ...names.map((name) => new Chart(name, metrics.get(name)).element)),
    );
  });
  const filter = h("input", {
    type: "search",
    placeholder: "Filter metrics",
    "aria-label": "Filter metrics",
    oninput: () =>
      charts.forEach(({ element, metric }) => {
        element.hidden = !metric.includes(filter.value);
      }),
  });
  shown.push(() => (view.window ? zoom(...view.window) : redraw()));
  themed.push(() => charts.forEach((chart) => chart.plot?.redraw(false)));
  return section(
    "curves",
    "Curves",
    controls(),
    h(
      "div",
      { class: "split-view" },
      h("aside", {}, runList()),
      h(
        "div",
        { class: "main" },
        h(
          "div",
          { class: "row" },
          filter,
          h("span", { class: "hint" }, "Drag over a curve to zoom, along its axis to move; double-click shows all."),
        ),
        ...groups,
      ),
    ),
    readout,
  );
}
