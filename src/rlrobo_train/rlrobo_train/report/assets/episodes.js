// The film strip of a recorded episode (episode_record.py): a column a step, and under each frame
// what was done, how sure the policy was and what came of it.
"use strict";
const episodes = (() => {
  const MILLIMETRES = 1000;

  function make(name, content = "", kind = "") {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    made.append(...[content].flat());
    return made;
  }

  const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
  const chosen = (step) => step.samples.find((sample) => sample.chosen);
  const sureness = (step) => chosen(step).probability;
  const percent = (value) => (value >= 0.0995 ? (100 * value).toFixed(0) : (100 * value).toPrecision(2)) + "%";

  // A row of the strip: `cell` makes each step's content; `tint`: its value, coloured by sign.
  function row(table, name, steps, cell, tint) {
    const line = table.appendChild(make("tr"));
    line.append(make("th", name));
    const largest = tint === sureness ? 1 : tint ? Math.max(...steps.map((step) => Math.abs(tint(step))), 1e-9) : 1;
    for (const step of steps) {
      const made = line.appendChild(make("td", cell(step)));
      if (tint && tint(step)) {
        made.style.setProperty("--tint", tint === sureness ? "var(--color0)" : tint(step) > 0 ? "var(--good)" : "var(--bad)");
        made.style.setProperty("--share", `${Math.round((45 * Math.abs(tint(step))) / largest)}%`);
      }
    }
    return line;
  }

  function frame(step) {
    if (!step.image) return make("span", "no image kept");
    const image = make("img");
    image.src = `data:image/jpeg;base64,${step.image}`;
    image.alt = "what the policy saw";
    return image;
  }

  function action(step, dimension, index) {
    const sample = chosen(step), value = sample.action[dimension] * MILLIMETRES;
    const text = dimension === "gripper" ? value.toFixed(0) : signed(value, 0);
    const each = sample.token_probabilities.length === Object.keys(sample.action).length;
    return each ? [text, make("small", percent(sample.token_probabilities[index]))] : text;
  }

  // The advantages of all actions that were tried at a step as bars, that of the chosen one dark.
  function bars(step, largest) {
    const width = 66, height = 28, ns = "http://www.w3.org/2000/svg";
    const drawing = document.createElementNS(ns, "svg");
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("width", width);
    drawing.setAttribute("height", height);
    const samples = [...step.samples].sort((a, b) => a.advantage - b.advantage), wide = width / samples.length;
    samples.forEach((sample, i) => {
      const bar = document.createElementNS(ns, "rect"), size = (Math.abs(sample.advantage) / largest) * (height / 2 - 1) + 1;
      const place = { x: i * wide + 0.5, width: wide - 1, height: size, y: sample.advantage > 0 ? height / 2 - size : height / 2 };
      for (const [key, value] of Object.entries(place)) bar.setAttribute(key, value);
      bar.setAttribute("fill", sample.advantage > 0 ? "var(--good)" : "var(--bad)");
      bar.setAttribute("opacity", sample.chosen ? 1 : 0.38);
      drawing.append(bar);
    });
    return drawing;
  }

  function strip(record, episode, tried) {
    const { steps } = episode, table = make("table", "", "strip");
    const dimensions = Object.keys(chosen(steps[0]).action), terms = Object.keys(chosen(steps[0]).terms);
    const gap = () => row(table, "", steps, () => "").classList.add("gap");
    row(table, "step", steps, (step) => String(steps.indexOf(step) + 1)).classList.add("head");
    for (const cell of row(table, "", steps, frame).querySelectorAll("td")) cell.classList.add("frame");
    dimensions.forEach((dimension, index) =>
      row(table, dimension === "gripper" ? "gripper, mm" : `${dimension}, mm`, steps, (step) => action(step, dimension, index)));
    row(table, "probability", steps, (step) => percent(sureness(step)), sureness);
    gap();
    for (const term of terms) row(table, term, steps, (step) => signed(chosen(step).terms[term], 3), (step) => chosen(step).terms[term]);
    row(table, "reward", steps, (step) => signed(chosen(step).reward, 3), (step) => chosen(step).reward);
    if (chosen(steps[0]).advantage == null) return table;
    gap();
    row(table, "advantage", steps, (step) => signed(chosen(step).advantage, 2), (step) => chosen(step).advantage);
    if (!record.form.startsWith("branch")) return table;
    const largest = Math.max(...steps.flatMap((step) => step.samples.map((sample) => Math.abs(sample.advantage))), 1e-9);
    row(table, "all tried", steps, (step) => {
      const button = make("button", bars(step, largest));
      button.title = "show these actions";
      button.onclick = () => tried.replaceChildren(...candidates(step, steps.indexOf(step) + 1));
      return button;
    });
    return table;
  }

  // The actions that were tried at one step of a branching episode, best first.
  function candidates(step, number) {
    const table = make("table"), dimensions = Object.keys(step.samples[0].action), terms = Object.keys(step.samples[0].terms);
    const names = [...dimensions.map((it) => `${it}, mm`), "probability", ...terms, "reward", "advantage"];
    table.append(make("tr", names.map((name) => make("th", name))));
    for (const sample of [...step.samples].sort((a, b) => b.advantage - a.advantage)) {
      const cells = [
        ...dimensions.map((it) => signed(sample.action[it] * MILLIMETRES, 0)), percent(sample.probability),
        ...terms.map((it) => signed(sample.terms[it], 3)), signed(sample.reward, 3), signed(sample.advantage, 2),
      ];
      table.append(make("tr", cells.map((cell) => make("td", cell)), sample.chosen ? "chosen" : ""));
    }
    const title = `Step ${number}: the actions that were tried, best first; the episode went on with the marked one`;
    return [make("h3", title), make("div", table, "scroll")];
  }

  function show(record, episode) {
    const tried = make("div", "", "tried"), scroll = make("div", strip(record, episode, tried), "scroll");
    const end = episode.success ? "succeeded" : "failed", rest = episode.verdict.replace(/^\w+/, "");
    const seed = `Group ${episode.group} of seed ${record.seed}${record.phase === "train" && record.form === "trajectory" ? `, rollout ${episode.rollout}` : ""}`;
    document.getElementById("episode").replaceChildren(
      make("blockquote", episode.instruction),
      make("p", [make("b", episode.verdict.match(/^\w+/)[0], end), rest, " ", make("small", `${seed}.`)], "verdict"),
      scroll, tried);
  }

  function choose(menu, buttons) {
    const record = JSON.parse(document.getElementById(`strip-${menu.value}`).textContent);
    buttons.replaceChildren(...record.episodes.map((episode) => {
      const name = record.phase === "train" && record.form === "trajectory" ? `rollout ${episode.rollout}` : `episode ${episode.group}`;
      const button = make("button", [make("span", episode.success ? "✓ " : "✗ ", episode.success ? "succeeded" : "failed"), name]);
      button.onclick = () => {
        for (const it of buttons.children) it.setAttribute("aria-pressed", it === button);
        show(record, episode);
      };
      return button;
    }));
    if (buttons.firstChild) buttons.firstChild.click();
    else document.getElementById("episode").replaceChildren(make("p", "No episode of it was recorded.", "note"));
  }

  function start() {
    const menu = document.getElementById("strip");
    if (!menu) return;
    const buttons = document.getElementById("episode-buttons");
    menu.onchange = () => choose(menu, buttons);
    choose(menu, buttons);
  }
  return { start };
})();
