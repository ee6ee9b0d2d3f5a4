// Draws panels (panels.py) as SVG: lines with bands or bars, or a stack. The values under the
// pointer stand in the legend; without a pointer, the last ones.
"use strict";
const charts = (() => {
  const HEIGHT = 190, LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 22;
  let axis = "iteration";

  function element(name, attributes, parent) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return parent.appendChild(made);
  }

  function format(value, unit) {
    if (value == null) return "–";
    if (unit === "%") return (100 * value).toFixed(1) + "%";
    const size = Math.abs(value);
    const text = size >= 100 ? Math.round(value).toLocaleString("en")
      : size >= 1 ? value.toFixed(2) : size >= 0.001 || size === 0 ? value.toFixed(3)
      : value.toExponential(1);
    return text + (unit === "s" ? " s" : "");
  }

  function ticks(low, high, count, least = 0) {
    const rough = Math.max((high - low) / count, least), power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((it) => it * power >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
    return { found, step };
  }

  function tickLabel(value, step, unit) {
    if (unit === "%") [value, step] = [100 * value, 100 * step];
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const text = digits > 4 ? value.toExponential(1)
      : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return text.replace(/^-(0(\.0+)?)$/, "$1") + (unit === "%" ? "%" : "");
  }

  // Of each series: its line over the axis in use, in a stack with the ones below it.
  function linesOf(panel) {
    const below = [];
    return panel.series.map((series) => {
      const line = series.by[axis];
      if (!panel.stacked) return { ...line, series };
      const low = line.y.map((_, i) => below[i] ?? 0);
      const high = line.y.map((value, i) => low[i] + (value ?? 0));
      high.forEach((value, i) => { below[i] = value; });
      return { ...line, low, high, raw: [], series };
    });
  }

  function domain(panel, lines) {
    const all = lines.flatMap((it) => (panel.stacked ? it.high : [...it.y, ...it.low, ...it.high]));
    const known = all.filter((value) => value != null);
    let low = Math.min(...known), high = Math.max(...known);
    if (panel.unit === "%") [low, high] = [0, lines.some((it) => it.series.spread === "bars") ? 1 : Math.min(high, 1)];
    if (panel.stacked) low = 0;
    const room = high > low ? (high - low) * 0.04 : Math.abs(high) * 0.1 || 1;
    return panel.unit === "%" || panel.stacked ? [0, high + room] : [low - room, high + room];
  }

  function draw(figure, panel) {
    const lines = linesOf(panel), svg = figure.querySelector("svg");
    svg.replaceChildren();
    const width = svg.clientWidth || 360;
    svg.setAttribute("height", HEIGHT);
    const xs = lines.flatMap((it) => it.x);
    let [x0, x1] = [Math.min(...xs), Math.max(...xs)];
    if (x0 === x1) [x0, x1] = [x0 - 1, x1 + 1];
    const [y0, y1] = domain(panel, lines);
    const X = (x) => LEFT + ((x - x0) / (x1 - x0)) * (width - LEFT - RIGHT);
    const Y = (y) => HEIGHT - BOTTOM - ((y - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM);

    const vertical = ticks(y0, y1, 5), horizontal = ticks(x0, x1, Math.max(3, width / 80), axis === "iteration" ? 1 : 0);
    for (const y of vertical.found) {
      element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: Y(y), y2: Y(y) }, svg);
      element("text", { x: LEFT - 6, y: Y(y) + 4, "text-anchor": "end" }, svg).textContent =
        tickLabel(y, vertical.step, panel.unit);
    }
    for (const x of horizontal.found)
      element("text", { x: X(x), y: HEIGHT - 6, "text-anchor": "middle" }, svg).textContent =
        tickLabel(x, horizontal.step, "");

    const id = `clip-${draw.count = (draw.count || 0) + 1}`;
    element("rect", { x: LEFT - 5, y: 0, width: width - LEFT - RIGHT + 10, height: HEIGHT - BOTTOM + 1 },
      element("clipPath", { id }, svg));
    const plot = element("g", { "clip-path": `url(#${id})` }, svg);
    for (const line of lines) drawLine(plot, line, panel, X, Y);
    hover(figure, svg, panel, lines, { X, Y, x0, x1, width });
  }

  // "M… L…" through the values that there are; a gap where there is none.
  function path(xs, ys, X, Y) {
    let open = false;
    return xs.map((x, i) => {
      if (ys[i] == null) { open = false; return ""; }
      const step = `${open ? "L" : "M"}${X(x).toFixed(1)} ${Y(ys[i]).toFixed(1)}`;
      open = true;
      return step;
    }).join("");
  }

  function drawLine(plot, line, panel, X, Y) {
    const color = `var(--color${line.series.color % 8})`;
    if (line.low.length && line.series.spread === "band") {
      const kept = line.x.map((_, i) => i).filter((i) => line.low[i] != null && line.high[i] != null);
      const edge = (ys, order) => order.map((i) => `${X(line.x[i]).toFixed(1)} ${Y(ys[i]).toFixed(1)}`);
      const outline = [...edge(line.high, kept), ...edge(line.low, [...kept].reverse())];
      if (kept.length) element("path", { class: panel.stacked ? "stack" : "band", fill: color, d: `M${outline.join("L")}Z` }, plot);
    }
    if (panel.stacked) return;
    if (line.raw.length) element("path", { class: "raw", stroke: color, d: path(line.x, line.raw, X, Y) }, plot);
    element("path", { class: "curve", stroke: color, d: path(line.x, line.y, X, Y) }, plot);
    if (line.series.spread !== "bars" && line.x.length > 1) return;
    line.x.forEach((x, i) => {
      if (line.y[i] == null) return;
      if (line.series.spread === "bars" && line.low.length)
        element("path", { class: "curve", stroke: color, "stroke-width": 1.2,
          d: `M${X(x)} ${Y(line.low[i])}V${Y(line.high[i])}` }, plot).style.strokeWidth = 1.3;
      element("circle", { cx: X(x), cy: Y(line.y[i]), r: 3, fill: color }, plot);
    });
  }

  function nearest(xs, x) {
    let best = 0;
    xs.forEach((it, i) => { if (Math.abs(it - x) < Math.abs(xs[best] - x)) best = i; });
    return best;
  }

  function hover(figure, svg, panel, lines, { X, Y, x0, x1, width }) {
    const cursor = element("g", {}, svg), values = figure.querySelectorAll(".legend li b");
    const place = figure.querySelector("h3 span"), longest = lines.reduce((a, b) => (b.x.length > a.x.length ? b : a));
    let at = longest.x.length - 1;

    function show(index, marked) {
      at = Math.max(0, Math.min(longest.x.length - 1, index));
      const x = longest.x[at];
      cursor.replaceChildren();
      place.textContent = !marked ? "last" : axis === "iteration" ? `iteration ${Math.round(x)}` : `${x.toFixed(1)} min`;
      if (marked) element("line", { class: "cursor", x1: X(x), x2: X(x), y1: TOP, y2: HEIGHT - BOTTOM }, cursor);
      lines.forEach((line, n) => {
        const i = marked ? nearest(line.x, x) : line.x.length - 1;
        const range = line.series.spread === "bars" && line.low.length
          ? ` [${format(line.low[i], panel.unit)}, ${format(line.high[i], panel.unit)}]` : "";
        const over = marked && x > line.x.at(-1) + (x1 - x0) / 50;
        values[n].textContent = over ? "–" : format(line.y[i], panel.unit) + range;
        if (marked && !over && line.y[i] != null && !panel.stacked)
          element("circle", { cx: X(line.x[i]), cy: Y(line.y[i]), r: 4, fill: `var(--color${line.series.color % 8})` }, cursor);
      });
    }
    svg.onpointermove = svg.onpointerdown = (event) => {
      const x = x0 + ((event.clientX - svg.getBoundingClientRect().left - LEFT) / (width - LEFT - RIGHT)) * (x1 - x0);
      show(nearest(longest.x, x), true);
    };
    svg.onpointerleave = svg.onblur = () => show(longest.x.length - 1, false);
    svg.onkeydown = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) { event.preventDefault(); show(at + step, true); }
    };
    show(longest.x.length - 1, false);
  }

  function figureOf(panel) {
    const figure = document.createElement("figure");
    figure.className = "panel";
    const title = document.createElement("h3"), legend = document.createElement("ul");
    title.append(panel.title, document.createElement("span"));
    legend.className = "legend";
    for (const series of panel.series) {
      const item = document.createElement("li"), swatch = document.createElement("i");
      swatch.className = `color${series.color % 8}`;
      item.append(swatch, panel.series.length === 1 && series.label === panel.title ? "" : series.label + " ", document.createElement("b"));
      legend.append(item);
    }
    const note = document.createElement("p");
    note.textContent = panel.note;
    figure.append(title, legend, element("svg", { tabindex: 0, role: "img", "aria-label": panel.title }, figure), note);
    return figure;
  }

  // A container's panels; drawn anew when its width or the axis changes.
  function fill(container) {
    const panels = JSON.parse(document.getElementById(container.dataset.panels).textContent);
    const figures = panels.map(figureOf);
    container.append(...figures);
    let width = 0;
    const redraw = () => {
      width = container.clientWidth;
      if (width) figures.forEach((it, i) => draw(it, panels[i]));
    };
    redraw();  // at once: an observer waits for the first frame, which a busy browser may skip
    new ResizeObserver(() => { if (container.clientWidth !== width) redraw(); }).observe(container);
    document.addEventListener("axis", redraw);
  }

  function start() {
    document.querySelectorAll("[data-panels]").forEach(fill);
    document.querySelectorAll("[data-axis]").forEach((button) => {
      button.onclick = () => {
        axis = button.dataset.axis;
        for (const it of document.querySelectorAll("[data-axis]")) it.setAttribute("aria-pressed", it === button);
        document.dispatchEvent(new Event("axis"));
      };
    });
  }
  return { start };
})();
