"use strict";
// Numbers made ready to be drawn as lines.

// Exponential moving average, without the bias to 0 of its start; as TensorBoard's slider does.
function smooth(values, weight) {
  if (!weight) return values;
  const out = new Float32Array(values.length);
  let last = 0,
    seen = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!Number.isFinite(value)) {
      out[i] = NaN;
      continue;
    }
    last = last * weight + (1 - weight) * value;
    seen = seen * weight + (1 - weight);
    out[i] = last / seen;
  }
  return out;
}

// The first place in ascending xs that is not below x.
function place(xs, x) {
  let low = 0,
    high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The part of a line within [from, to], cut where it enters and leaves.
function clip({ x, y }, from, to) {
  const start = place(x, from);
  const end = place(x, to);
  const between = (i, at) => y[i - 1] + ((y[i] - y[i - 1]) * (at - x[i - 1])) / (x[i] - x[i - 1]);
  const xs = Array.from(x.subarray(start, end));
  const ys = Array.from(y.subarray(start, end));
  if (start > 0 && start < x.length && x[start] > from) {
    xs.unshift(from);
    ys.unshift(between(start, from));
  }
  if (end < x.length) {
    xs.push(to);
    ys.push(x[end] === to || !end ? y[end] : between(end, to));
  }
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
    return [
      xs,
      ...cut.map(({ x, y }) => {
        const ys = new Array(xs.length);
        for (let i = 0; i < x.length; i++) if (at.has(x[i])) ys[at.get(x[i])] = Number.isFinite(y[i]) ? y[i] : null;
        return ys;
      }),
    ];
  }
  const width = (to - from) / columns;
  const xs = Array.from({ length: 2 * columns }, (_, i) => from + (i / 2 + 0.25) * width);
  return [
    xs,
    ...cut.map(({ x, y }) => {
      const ys = new Array(xs.length);
      let i = 0;
      while (i < x.length) {
        const column = Math.min(columns - 1, Math.floor((x[i] - from) / width));
        let low = -1,
          high = -1,
          first = i;
        for (; i < x.length && Math.min(columns - 1, Math.floor((x[i] - from) / width)) === column; i++) {
          if (!Number.isFinite(y[i])) continue;
          if (low < 0 || y[i] < y[low]) low = i;
          if (high < 0 || y[i] > y[high]) high = i;
        }
        if (i === first) {
          i++;
          continue;
        } // an x that is no number
        ys[2 * column] = low < 0 ? null : y[Math.min(low, high)];
        if (high !== low) ys[2 * column + 1] = y[Math.max(low, high)];
      }
      return ys;
    }),
  ];
}
