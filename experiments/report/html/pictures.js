"use strict";
// What runs drew while they trained, side by side, with a slider over the steps; and the pictures of runs that have ended.

const zoomed = h("dialog", { class: "zoomed", onclick: () => zoomed.close() });

function picture({ src, width, height }, alt) {
  const image = h("img", { src, width, height, alt, loading: "lazy", decoding: "async" });
  const button = h(
    "button",
    {
      type: "button",
      class: "picture",
      title: "enlarge",
      onclick: () => {
        zoomed.replaceChildren(h("img", { src: image.src, alt: image.alt }), h("p", {}, image.alt));
        zoomed.showModal();
      },
    },
    image,
  );
  return { image, button };
}

// A run's pictures, one at a time. step(n) shows the last that is not after step n.
function gallery(run, name, pictures) {
  const label = data.runs[run].label;
  const last = pictures.length - 1;
  const say = (i) => `${name} of ${label} at step ${number(pictures[i].step)}`;
  const { image, button } = picture(pictures[last], say(last));
  const text = h("output", {});
  const slider = h("input", {
    type: "range",
    min: 0,
    max: last,
    step: 1,
    value: last,
    "aria-label": `step of the ${name} of ${label}`,
    oninput: () => show(Number(slider.value)),
  });
  function show(i) {
    image.src = pictures[i].src;
    image.alt = say(i);
    slider.value = i;
    slider.setAttribute("aria-valuetext", `step ${number(pictures[i].step)}`);
    text.textContent = `step ${number(pictures[i].step)}`;
  }
  show(last);
  const element = h(
    "figure",
    { "data-run": run },
    h("figcaption", {}, swatch(run), label),
    button,
    h("div", { class: "control" }, slider, text),
  );
  return {
    element,
    steps: pictures.map(({ step }) => step),
    step: (n) =>
      show(
        Math.max(
          0,
          pictures.findLastIndex(({ step }) => step <= n),
        ),
      ),
  };
}

function galleriesSection() {
  const names = [...new Set(data.runs.flatMap((run) => Object.keys(run.galleries)))];
  const parts = names.flatMap((name) => {
    const found = data.runs.flatMap((run, i) => (run.galleries[name] ? [gallery(i, name, run.galleries[name])] : []));
    if (!found.length) return [];
    const steps = [...new Set(found.flatMap((one) => one.steps))].sort((a, b) => a - b);
    const text = h("output", {}, `step ${number(steps.at(-1))}`);
    const slider = h("input", {
      type: "range",
      min: 0,
      max: steps.length - 1,
      step: 1,
      value: steps.length - 1,
      "aria-label": `step of all ${name}`,
      "aria-valuetext": text.textContent,
      oninput: () => {
        const step = steps[slider.value];
        text.textContent = `step ${number(step)}`;
        slider.setAttribute("aria-valuetext", text.textContent);
        found.forEach((one) => one.step(step));
      },
    });
    const all = found.length > 1 ? h("div", { class: "control all" }, h("span", {}, "All at"), slider, text) : null;
    return [h("h3", {}, name), all, h("div", { class: "figures" }, ...found.map((one) => one.element))];
  });
  return parts.length ? hiding(section("samples", "Pictures by step", parts)) : null;
}

function picturesSection() {
  const names = [...new Set(data.runs.flatMap((run) => run.pictures.map(({ name }) => name)))];
  if (!names.length) return null;
  const order = ["predictions", "mistakes", "confusion"]; // the last first; what is not among them follows
  names.sort((a, b) => order.indexOf(b) - order.indexOf(a));
  const parts = names.flatMap((name) => {
    const title = { confusion: "confusion matrices", mistakes: "worst mistakes" }[name] ?? name.replaceAll("_", " ");
    const figures = data.runs.flatMap((run, i) =>
      run.pictures
        .filter((one) => one.name === name)
        .map((one) =>
          h(
            "figure",
            { "data-run": i },
            h("figcaption", {}, swatch(i), run.label),
            picture(one, `${name.replaceAll("_", " ")} of ${run.label}`).button,
          ),
        ),
    );
    return [h("h3", {}, title), h("div", { class: "figures" }, ...figures)];
  });
  return hiding(section("pictures", "Predictions", parts));
}

function hiding(content) {
  shown.push(() =>
    content.querySelectorAll("figure").forEach((one) => {
      one.hidden = hidden.has(Number(one.dataset.run));
    }),
  );
  return content;
}
