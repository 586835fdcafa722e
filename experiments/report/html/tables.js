"use strict";
// Tables: final numbers, what differs between pages, the ledger.

// A table whose columns sort by a press on their heads.
// columns: [{name, head, number}]; rows: [{cells: {name: element or text}, keys: {name: what it sorts by}, attributes}]
function sortable(label, columns, rows) {
  const lines = rows.map(({ cells, attributes = {} }) =>
    h(
      "tr",
      attributes,
      ...columns.map((column, i) =>
        h(
          i ? "td" : "th",
          { scope: i ? null : "row", class: column.number ? "number" : null },
          cells[column.name] ?? "–",
        ),
      ),
    ),
  );
  const order = rows.map((_, i) => i);
  const body = h("tbody", {}, ...lines);
  const heads = columns.map((column) =>
    h(
      "th",
      { scope: "col", class: column.number ? "number" : null },
      h("button", { type: "button", onclick: () => sort(column) }, column.head ?? column.name),
    ),
  );
  function sort(column) {
    const head = heads[columns.indexOf(column)];
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (i) => rows[i].keys[column.name];
    order.sort((i, j) => {
      const a = key(i);
      const b = key(j);
      if (a == null || b == null) return (a == null) - (b == null); // what there is not stands last, either way
      const compared =
        typeof a === "number" && typeof b === "number"
          ? a - b
          : String(a).localeCompare(String(b), "en", { numeric: true });
      return down ? -compared : compared;
    });
    body.replaceChildren(...order.map((i) => lines[i]));
  }
  return scroller(label, h("table", {}, h("thead", {}, h("tr", {}, ...heads)), body));
}

const state = (text) => h("span", { class: `state ${text.split(/[ :,]/)[0]}`, title: text }, text.split(":")[0]);

// The best of some values, by goal; null where there is nothing to be better than.
function best(values, goal) {
  const numbers = values.filter((x) => typeof x === "number");
  return goal && numbers.length > 1 ? Math[goal](...numbers) : null;
}

// A table for each task and data set: others share few metrics, and none that can be compared.
function numbersSection() {
  const tasks = new Map();
  data.runs.forEach((run, i) => {
    const task = `${run.config.task?.name} · ${run.config.data?.name}`;
    if (!tasks.has(task)) tasks.set(task, []);
    tasks.get(task).push(i);
  });
  const tables = [...tasks].map(([task, members]) => {
    const runs = members.map((i) => data.runs[i]);
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.final)))];
    names.sort((a, b) => b.startsWith("test/") - a.startsWith("test/") || a.localeCompare(b));
    const tops = Object.fromEntries(
      names.map((name) => [
        name,
        best(
          runs.map((run) => run.final[name]),
          data.goals[name],
        ),
      ]),
    );
    const columns = [
      { name: "run" },
      { name: "state" },
      { name: "step", number: true },
      { name: "time", head: "wall time", number: true },
      ...names.map((name) => ({ name, number: runs.every((run) => typeof run.final[name] !== "string") })),
    ];
    const rows = runs.map((run, n) => ({
      cells: {
        run: [swatch(members[n]), named(run.label)],
        state: state(run.state),
        step: number(run.step),
        time: duration(run.seconds),
        ...Object.fromEntries(
          names.map((name) => {
            const text = number(run.final[name]);
            return [
              name,
              tops[name] != null && run.final[name] === tops[name] ? h("mark", { title: "best" }, text) : text,
            ];
          }),
        ),
      },
      keys: { run: run.label, state: run.state, step: run.step, time: run.seconds, ...run.final },
      attributes: { "data-run": members[n] },
    }));
    return [tasks.size > 1 ? h("h3", {}, task) : null, sortable(`final numbers ${task}`, columns, rows)];
  });
  const content = section(
    "numbers",
    "Final numbers",
    h(
      "p",
      { class: "hint" },
      "Of the validation split the last measurement; of the test split that of the end. Best values are marked.",
    ),
    tables,
  );
  shown.push(() =>
    content.querySelectorAll("tr[data-run]").forEach((row) => {
      row.hidden = hidden.has(Number(row.dataset.run));
    }),
  );
  return content;
}

// [key, text] of everything in a page; null, "" and [] are nothing, as is a key that is absent.
function flat(tree, prefix = "") {
  return Object.entries(tree).flatMap(([key, value]) => {
    if (value && typeof value === "object" && !Array.isArray(value)) return flat(value, `${prefix}${key}.`);
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return ["null", "", "[]"].includes(text) ? [] : [[prefix + key, text]];
  });
}

// Keys against pages: runs that differ by nothing but their seed are one column. Where a run runs, and what is said of
// its paper, is no difference.
const ASIDE = /^(devices|paper)\.|^train\.seed$/;
function configurationSection() {
  const pages = new Map();
  data.runs.forEach((run, i) => {
    const keys = new Map(flat(run.config));
    const same = JSON.stringify([...keys].filter(([key]) => !ASIDE.test(key)).sort());
    if (!pages.has(same)) pages.set(same, { keys, runs: [] });
    pages.get(same).runs.push(i);
  });
  const columns = [...pages.values()];
  const names = [...new Set(columns.flatMap((column) => [...column.keys.keys()]))]
    .filter((key) => !ASIDE.test(key))
    .sort();
  const rows = names.map((name) => {
    const values = columns.map((column) => column.keys.get(name));
    const counts = new Map();
    values.forEach((value) => counts.set(value, (counts.get(value) || 0) + 1));
    const [[first, most], [, next] = []] = [...counts].sort((a, b) => b[1] - a[1]);
    const usual = (value) => value === first && most !== next;
    const differs = counts.size > 1;
    return h(
      "tr",
      { class: differs ? "differs" : "same", hidden: !differs },
      h("th", { scope: "row" }, name),
      ...values.map((value) => h("td", { class: differs && !usual(value) ? "other" : null }, value ?? "–")),
    );
  });
  const differing = rows.filter((row) => row.className === "differs").length;
  const all = toggle("Show all keys", false, (on) => {
    rows.forEach((row) => {
      row.hidden = !on && row.className === "same";
    });
    table.hidden = !on && !differing;
  });
  const head = (column) => {
    const [first, ...others] = column.runs.map((i) => data.runs[i].label);
    return h(
      "th",
      { scope: "col" },
      swatch(column.runs[0]),
      named(first),
      others.length ? h("span", { class: "quiet", title: others.join(", ") }, ` and ${others.length} more`) : null,
    );
  };
  const table = scroller(
    "configuration",
    h(
      "table",
      { class: "configuration" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "key"), ...columns.map(head))),
      h("tbody", {}, ...rows),
    ),
  );
  table.hidden = !differing;
  const what =
    columns.length > 1
      ? `${differing} of ${plural(names.length, "key")} differ between ${plural(columns.length, "page")};` +
        " marked is what is not the most frequent value."
      : "All are runs of one page, but for their seeds.";
  return section(
    "configuration",
    "Configuration",
    h("div", { class: "row" }, h("p", { class: "hint" }, what), all),
    table,
  );
}

function ledgerSection() {
  const names = ["page", "metric", "published", "ours", "status", "steps", "seeds", "wall time", "commit", "date"];
  const rows = data.ledger.map((row) => ({
    cells: {
      ...row,
      status: state(row.status),
      page: h(
        "details",
        {},
        h("summary", {}, row.page),
        h(
          "dl",
          {},
          ...["paper", "also", "hardware", "note", "command"].flatMap((name) =>
            row[name]
              ? [h("dt", {}, name), h("dd", {}, name === "command" ? h("code", {}, row[name]) : row[name])]
              : [],
          ),
        ),
      ),
    },
    keys: { ...row, ...row.keys },
  }));
  const columns = names.map((name) => ({ name, number: name in (data.ledger[0].keys) }));
  return section(
    "ledger",
    "Ledger of reproductions",
    h(
      "p",
      { class: "hint" },
      "Ours is the mean ± standard deviation over the seeds. A page's name opens the rest of its row.",
    ),
    sortable("ledger of reproductions", columns, rows),
  );
}
