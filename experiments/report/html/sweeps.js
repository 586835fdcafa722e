"use strict";
// Sweeps: the trials as a table, in parallel coordinates and key by key, and how much each key matters.

function sweepSection(sweep, index) {
  const { trials, metric } = sweep;
  const keys = Object.keys(sweep.over ?? {});
  const complete = trials.filter((trial) => trial.state === "complete" && trial.value != null);
  const top = complete.length ? Math[sweep.goal](...complete.map((trial) => trial.value)) : null;
  const winner = complete.find((trial) => trial.value === top);
  const ranked = [...complete].sort((a, b) => (sweep.goal === "min" ? b.value - a.value : a.value - b.value));
  const rank = new Map(ranked.map((trial, i) => [trial, ranked.length > 1 ? i / (ranked.length - 1) : 1]));
  const paint = (trial) => (rank.has(trial) ? shade(rank.get(trial)) : "var(--quiet)");
  const counts = ["complete", "pruned", "failed", "running"].map((name) => [
    name,
    trials.filter((t) => t.state === name).length,
  ]);
  const facts = [
    ["trials", `${trials.length}${sweep.planned > trials.length ? ` of ${sweep.planned}` : ""}`],
    ...counts.filter(([, count]) => count).map(([name, count]) => [name, String(count)]),
    ["metric", `${metric}, ${sweep.goal}`],
    ["sampler", sweep.sampler],
    ["pruner", sweep.pruner],
    ["time from first to last", sweep.seconds ? duration(sweep.seconds) : null],
  ].filter(([, text]) => text);
  const content = section(
    `sweep-${index}`,
    `Sweep ${sweep.label === "." ? data.title : sweep.label}`,
    h(
      "dl",
      { class: "facts" },
      ...facts.flatMap(([name, text]) => [h("div", {}, h("dt", {}, name), h("dd", {}, String(text)))]),
    ),
  );
  if (!trials.length) {
    content.append(h("p", { class: "hint" }, "No trial has ended yet."));
    return content;
  }
  if (winner) {
    content.append(
      h(
        "p",
        { class: "winner" },
        h("strong", {}, `Best: ${number(winner.value)}`),
        ` in trial ${winner.number} · `,
        keys.map((key, i) => [i ? ", " : null, h("code", {}, `${key}=${number(winner.params[key])}`)]).flat(),
      ),
    );
  }
  // What stands for one trial, wherever: a hover marks it everywhere.
  const marked = new Map(trials.map((trial) => [trial, []]));
  const mark = (trial, element) => {
    marked.get(trial).push(element);
    for (const [kind, on] of [
      ["mouseenter", true],
      ["mouseleave", false],
    ]) {
      element.addEventListener(kind, () => marked.get(trial).forEach((one) => one.classList.toggle("hot", on)));
    }
    element.classList.add(trial.state, ...(trial === winner ? ["best"] : []));
    return element;
  };
  const say = (trial) =>
    [
      `trial ${trial.number}, ${trial.state}`,
      ...keys.map((key) => `${key} ${number(trial.params[key])}`),
      `${metric} ${number(trial.value)}`,
      ...(trial.why ? [trial.why] : []),
    ].join("\n");
  const values = axisOf(
    null,
    trials.map((trial) => trial.value).filter((x) => x != null),
  );
  const axes = keys.map((key) => ({
    name: key,
    value: (trial) => trial.params[key],
    ...axisOf(
      sweep.over[key],
      trials.map((trial) => trial.params[key]).filter((x) => x != null),
    ),
  }));
  const result = { name: metric, value: (trial) => trial.value, ...values };
  const context = { trials, winner, paint, mark, say, marked };
  const importance = Object.entries(sweep.importance ?? {}).sort((a, b) => b[1] - a[1]);
  const most = Math.max(...importance.map(([, share]) => share), 1e-9);
  content.append(
    h("h3", {}, "Parallel coordinates"),
    h(
      "p",
      { class: "hint" },
      "Yellow is best, blue worst; dashed is pruned, dotted failed. Drag along an axis, or press its" +
        " arrow keys, to choose trials; Escape lets go.",
    ),
    parallel([...axes, result], context),
    ...(importance.length
      ? [
          h("h3", {}, "Importance"),
          h(
            "div",
            { class: "bars" },
            ...importance.flatMap(([key, share]) => [
              h("code", {}, key),
              h("div", { class: "bar" }, h("div", { style: `width: ${(100 * share) / most}%` })),
              h("span", { class: "number" }, `${(100 * share).toFixed(1)} %`),
            ]),
          ),
        ]
      : []),
    h("h3", {}, "Slices"),
    h(
      "div",
      { class: "slices" },
      progress(sweep, result, context),
      ...axes.map((axis) => slice(axis, result, context)),
    ),
    h("h3", {}, "Trials"),
    trialTable(sweep, keys, context),
  );
  return content;
}

function trialTable(sweep, keys, { trials, winner, mark }) {
  const columns = [
    { name: "trial", number: true },
    { name: "state" },
    { name: "value", head: sweep.metric, number: true },
    ...keys.map((key) => ({
      name: `key ${key}`,
      head: key,
      number: trials.every((trial) => typeof trial.params[key] !== "string"),
    })),
    { name: "step", number: true },
    { name: "time", number: true },
    { name: "why" },
  ];
  const places = ["complete", "running", "pruned", "failed"]; // the best first
  const better = (a, b) =>
    a.value == null || b.value == null
      ? (a.value == null) - (b.value == null)
      : sweep.goal === "min"
        ? a.value - b.value
        : b.value - a.value;
  const order = [...trials].sort((a, b) => places.indexOf(a.state) - places.indexOf(b.state) || better(a, b));
  const rows = order.map((trial) => {
    const params = Object.fromEntries(keys.map((key) => [`key ${key}`, trial.params[key]]));
    const shown = Object.fromEntries(Object.entries(params).map(([key, value]) => [key, number(value)]));
    const value = number(trial.value);
    return {
      cells: {
        trial: String(trial.number),
        state: state(trial.state),
        value: trial === winner ? h("mark", { title: "best" }, value) : value,
        ...shown,
        step: number(trial.step),
        time: duration(trial.seconds),
        why: trial.why ?? "",
      },
      keys: {
        trial: trial.number,
        state: trial.state,
        value: trial.value,
        ...params,
        step: trial.step,
        time: trial.seconds,
        why: trial.why,
      },
      attributes: { "data-trial": trial.number },
    };
  });
  const table = sortable(`trials of ${sweep.label}`, columns, rows);
  table.querySelectorAll("tbody tr").forEach((row, i) => mark(order[i], row));
  table.classList.add("tall");
  return table;
}
