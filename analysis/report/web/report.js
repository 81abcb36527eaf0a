"use strict";
// Curves of the report: drawn as SVG from the data in the page, toggled by method, read by hovering
// or with the arrow keys.
// No library, no network. A chart is redrawn whole whenever a setting changes; a page of 20 tasks
// takes some milliseconds.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const shown = new Set(data.methods.flatMap((method, index) => (method.shown ? [index] : [])));
  const evaluated = data.tasks.some((task) => task.lines.some((line) =>
    line.runs.some((run) => run.x.length)));
  const options = { bands: shown.size <= data.most_bands, runs: false, training: !evaluated,
    log: true };
  const WIDTH = 330, HEIGHT = 230, LEFT = 44, RIGHT = 8, TOP = 20, BOTTOM = 34;
  const tip = document.getElementById("tip");
  const panels = document.getElementById("panels");

  const svg = (name, attributes, parent) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (parent) parent.appendChild(node);
    return node;
  };
  const element = (name, parent, text = "", type = "") => {
    const node = document.createElement(name);
    if (text) node.textContent = text;
    if (type) node.className = type;
    if (parent) parent.appendChild(node);
    return node;
  };
  const short = (value) => {
    const size = Math.abs(value);
    if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
    if (size >= 1e3) return `${+(value / 1e3).toPrecision(3)}k`;
    return `${+value.toPrecision(3)}`;
  };
  const steps = (low, high, count) => {  // round numbers from low to high
    const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= raw);
    const ticks = [];
    for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9; t += step)
      ticks.push(+t.toPrecision(12));
    return ticks;
  };

  // Linear up to `knee`, logarithmic above it, so that a limit of 2 and a cost of 80 can both be
  // read.
  const bent = (knee) => (value) =>
    (value <= knee ? value / knee : 1 + Math.log10(value / knee) * 1.6);

  function scales(task, column) {
    const xs = [], ys = [];
    for (const line of task.lines) {
      if (!shown.has(line.method)) continue;
      for (const run of line.runs) xs.push(...run.x, ...(options.training ? run.training.x : []));
      const drawn = line.mean && !options.runs ? [] : line.runs.map((run) => run[column]);
      if (options.training) drawn.push(...line.runs.map((run) => run.training[column]));
      if (line.mean) drawn.push(line[column].mean,
        ...(options.bands ? [line[column].low, line[column].high] : []));
      for (const values of drawn) for (const value of values) if (value !== null) ys.push(value);
    }
    const limits = column === "cost" ? task.limits : [];
    const extreme = (values, pick, none) => values.reduce((a, b) => pick(a, b), none);
    const xMax = extreme(xs, Math.max, 1);
    let low = extreme(ys, Math.min, Infinity);
    let high = extreme([...ys, ...limits], Math.max, -Infinity);
    if (!Number.isFinite(low)) [low, high] = [0, Math.max(1, high)];
    if (column === "cost") low = 0;
    if (high <= low) high = low + 1;
    const knee = Math.max(1, ...limits);
    const log = column === "cost" && options.log && limits.length > 0 && high > 8 * knee;
    const shape = log ? bent(knee) : (value) => value;
    if (!log) [low, high] = [low - 0.04 * (high - low), high + 0.06 * (high - low)];
    const bottom = log ? -0.15 : low, top = log ? shape(high) + 0.2 : high;
    const decades = [0, 1, 2, 3, 4, 5].flatMap((d) => [1, 2, 5].map((s) => s * 10 ** d));
    return {
      x: (value) => LEFT + (value / xMax) * (WIDTH - LEFT - RIGHT),
      y: (value) =>
        HEIGHT - BOTTOM - ((shape(value) - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM),
      xTicks: steps(0, xMax, 4),
      yTicks: log ? [0, knee, ...decades.filter((t) => t > 1.5 * knee && t <= high * 1.2)]
        : steps(low, high, 5),
      name: (column === "cost" ? "Episode cost" : "Episode return") +
        (log ? ` (log above ${short(knee)})` : ""),
    };
  }

  function path(xs, ys, scale) {
    let text = "", open = false;
    xs.forEach((x, i) => {
      if (ys[i] === null) { open = false; return; }  // a diverged evaluation is a gap
      text += `${open ? "L" : "M"}${scale.x(x).toFixed(1)} ${scale.y(ys[i]).toFixed(1)}`;
      open = true;
    });
    return text;
  }

  function band(line, column, scale) {
    const at = (values, i) => `${scale.x(line.x[i]).toFixed(1)} ${scale.y(values[i]).toFixed(1)}`;
    const { low, high } = line[column];
    const known = line.x.map((_, i) => i).filter((i) => low[i] !== null && high[i] !== null);
    if (!known.length) return "";
    const upper = known.map((i) => at(high, i)), lower = known.reverse().map((i) => at(low, i));
    return `M${upper.join("L")}L${lower.join("L")}Z`;
  }

  function draw(chart, task, column) {
    chart.replaceChildren();
    const scale = scales(task, column);
    for (const t of scale.yTicks) {
      const y = scale.y(t);
      svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y, class: "rule" }, chart);
      svg("text", { x: LEFT - 5, y: y + 3.5, "text-anchor": "end" }, chart).textContent = short(t);
    }
    for (const t of scale.xTicks) {
      const anchor = scale.x(t) > WIDTH - RIGHT - 12 ? "end" : "middle"; // else it is cut off
      svg("text", { x: scale.x(t), y: HEIGHT - BOTTOM + 14, "text-anchor": anchor }, chart)
        .textContent = short(t);
    }
    svg("path", { d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}`, class: "frame" },
      chart);
    svg("text", { x: LEFT, y: 12, class: "name" }, chart).textContent = scale.name;
    svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 5, "text-anchor": "end" }, chart).textContent =
      "simulator steps";
    if (column === "cost") {
      for (const limit of task.limits) {
        const y = scale.y(limit);
        svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y, class: "limit" }, chart);
        svg("text", { x: WIDTH - RIGHT, y: y - 3, "text-anchor": "end", class: "limit-name" }, chart)
          .textContent = `limit ${short(limit)}`;
      }
    }
    for (const line of task.lines) {
      if (!shown.has(line.method)) continue;
      const { color, dash } = data.methods[line.method];
      const tint = { style: `--method: ${color}`, "data-method": line.method };
      const ink = { ...tint, "stroke-dasharray": dash };
      for (const { training } of options.training ? line.runs : []) {
        svg("path", { d: path(training.x, training[column], scale), class: "training",
          ...tint }, chart);
      }
      if (line.mean) {
        if (options.bands) svg("path", { d: band(line, column, scale), class: "band",
          ...tint }, chart);
        svg("path", { d: path(line.x, line[column].mean, scale), class: "line", ...ink }, chart);
      }
      for (const run of line.mean && !options.runs ? [] : line.runs) {
        svg("path", { d: path(run.x, run[column], scale), class: line.mean ? "run" : "line",
          ...ink }, chart);
        run.x.forEach((x, i) => {  // few points: show where they are
          if (run.x.length > 12 || run[column][i] === null) return;
          svg("circle", { cx: scale.x(x), cy: scale.y(run[column][i]), r: 2.2,
            ...tint }, chart);
        });
      }
    }
    const cursor = svg("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor" }, chart);
    return { scale, cursor };
  }

  // -- reading values -----------------------------------------------------------------------------
  function nearest(xs, x) {
    let best = 0;
    for (let i = 1; i < xs.length; i += 1)
      if (Math.abs(xs[i] - x) < Math.abs(xs[best] - x)) best = i;
    return best;
  }

  function values(task, column, x) {  // what every shown method has at the evaluation nearest to x
    const rows = [];
    for (const line of task.lines) {
      if (!shown.has(line.method)) continue;
      const sources = line.mean ? [{ x: line.x, y: line[column].mean, low: line[column].low,
        high: line[column].high, of: "" }]
        : line.runs.map((run) => ({ of: ` seed ${run.seed}`, points:
          run.x.length ? run : run.training }))
          .map(({ of, points }) => ({ x: points.x, y: points[column], of:
            points.training ? of : `${of}, training` }));
      for (const source of sources) {
        if (!source.x.length) continue;
        const i = nearest(source.x, x);
        if (source.y[i] === null) continue;
        const interval = source.low && source.low[i] !== null
          ? `${short(source.low[i])} to ${short(source.high[i])}` : "";
        rows.push({ method: line.method, of: source.of, at: source.x[i], value: source.y[i],
          interval });
      }
    }
    return rows.sort((a, b) => b.value - a.value);
  }

  function showTip(view, x, y, left, top) {
    const rows = values(view.task, view.column, x);
    if (!rows.length) return hideTip();
    const gap = (row) => Math.abs(view.scale.y(row.value) - y);
    const near = y === null ? null : rows.reduce((a, b) => (gap(b) < gap(a) ? b : a));
    tip.replaceChildren();
    element("div", tip, `${short(x)} simulator steps`, "soft");
    const table = element("table", tip);
    for (const row of rows) {
      const line = element("tr", table, "", row === near ? "near" : "");
      element("td", line).appendChild(key(data.methods[row.method]));
      const elsewhere = Math.abs(row.at - x) > 0.02 * Math.max(x, 1) ? ` (at ${short(row.at)})`
        : "";
      element("td", line, data.methods[row.method].name + row.of + elsewhere, "text");
      element("td", line, short(row.value));
      element("td", line, row.interval, "soft");
    }
    tip.style.visibility = "visible";
    const box = tip.getBoundingClientRect();
    tip.style.left =
      `${Math.max(4, left + 16 + box.width > innerWidth ? left - 16 - box.width : left + 16)}px`;
    tip.style.top = `${Math.max(4, Math.min(top + 12, innerHeight - box.height - 4))}px`;
    view.cursor.setAttribute("x1", view.scale.x(x));
    view.cursor.setAttribute("x2", view.scale.x(x));
    view.cursor.style.visibility = "visible";
    for (const node of view.chart.querySelectorAll("[data-method]")) {
      node.classList.toggle("fade", near !== null && +node.dataset.method !== near.method);
    }
    return undefined;
  }

  function hideTip() {
    tip.style.visibility = "hidden";
    for (const view of views) {
      view.cursor.style.visibility = "hidden";
      for (const node of view.chart.querySelectorAll(".fade")) node.classList.remove("fade");
    }
  }

  function listen(view) {
    const grid = [...new Set(view.task.lines.flatMap((line) => (line.mean ? line.x
      : line.runs.flatMap((run) => (run.x.length ? run.x : run.training.x)))))]
      .sort((a, b) => a - b);
    if (!grid.length) return;
    let place = grid.length - 1;
    view.chart.addEventListener("pointermove", (event) => {
      const box = view.chart.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * WIDTH;
      const y = ((event.clientY - box.top) / box.height) * HEIGHT;
      const span = view.scale.x(grid[grid.length - 1]) - LEFT;
      place = nearest(grid, ((x - LEFT) / span) * grid[grid.length - 1]);
      showTip(view, grid[place], y, event.clientX, event.clientY);
    });
    view.chart.addEventListener("pointerleave", hideTip);
    view.chart.addEventListener("blur", hideTip);
    view.chart.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!move) return;
      event.preventDefault();
      place = Math.min(grid.length - 1, Math.max(0, place + move));
      const box = view.chart.getBoundingClientRect();
      showTip(view, grid[place], null, box.left + (view.scale.x(grid[place]) / WIDTH) * box.width,
        box.top + 20);
    });
  }

  // -- the page -----------------------------------------------------------------------------------
  function key(method) {
    const picture = svg("svg", { class: "key", viewBox: "0 0 22 8" });
    svg("line", { x1: 0, x2: 22, y1: 4, y2: 4, style: `--method: ${method.color}`,
      "stroke-width": 2.4, "stroke-dasharray": method.dash }, picture);
    return picture;
  }

  const views = [];
  for (const task of data.tasks) {
    const panel = element("section", panels, "", "panel");
    panel.dataset.name = task.name.toLowerCase();
    element("h3", panel, task.name);
    if (task.lacks) element("div", panel, task.lacks, "lacks");
    const pair = element("div", panel, "", "pair");
    for (const column of ["return", "cost"]) {
      const label = `${column} on ${task.name} over simulator steps; arrow keys read values`;
      const chart = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, tabindex: 0,
        role: "img", "aria-label": label }, pair);
      const view = { chart, task, column };
      views.push(view);
      listen(view);
    }
  }
  const redraw = () => { for (const view of views)
    Object.assign(view, draw(view.chart, view.task, view.column)); };

  const legend = document.getElementById("methods");
  const buttons = data.methods.map((method, index) => {
    const button = element("button", legend);
    button.type = "button";
    button.title = "click: show or hide; Shift and click: this one alone";
    button.dataset.label = method.label;
    button.appendChild(key(method));
    button.append(method.name);
    button.addEventListener("click", (event) => {
      if (event.shiftKey) { shown.clear(); shown.add(index); }
      else if (!shown.delete(index)) shown.add(index);
      refresh();
    });
    return button;
  });
  function refresh() {
    buttons.forEach((button, index) => button.setAttribute("aria-pressed",
      String(shown.has(index))));
    redraw();
    hideTip();
  }
  for (const [id, all] of [["all", true], ["none", false]]) {
    document.getElementById(id).addEventListener("click", () => {
      shown.clear();
      if (all) data.methods.forEach((_, index) => shown.add(index));
      refresh();
    });
  }
  for (const name of Object.keys(options)) {
    const box = document.getElementById(name);
    box.checked = options[name];
    box.addEventListener("change", () => { options[name] = box.checked; refresh(); });
  }
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const panel of panels.children) panel.hidden = !panel.dataset.name.includes(wanted);
  });
  // -- downloads and tables ------------------------------------------------------------------------
  const csv = (rows) => rows.map((row) => row.map((cell) => {
    const text = cell === null ? "" : String(cell);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }).join(",")).join("\n") + "\n";

  function curveRows() {  // what the charts show, one row per point
    const rows = [["task", "method", "seed", "of", "env_steps", "return", "cost"]];
    for (const task of data.tasks) for (const line of task.lines) {
      const start = [task.name, data.methods[line.method].label];
      const add = (seed, of, x, returns, costs) => x.forEach((step, i) =>
        rows.push([...start, seed, of, step, returns[i], costs[i]]));
      if (line.mean) add("mean", "evaluation", line.x, line.return.mean, line.cost.mean);
      for (const run of line.runs) {
        add(run.seed, "evaluation", run.x, run.return, run.cost);
        add(run.seed, "training", run.training.x, run.training.return, run.training.cost);
      }
    }
    return rows;
  }
  document.getElementById("save").addEventListener("click", () => {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([csv(curveRows())], { type: "text/csv" }));
    link.download = "curves.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });

  const valueOf = (text) => {  // the number that a cell begins with, NaN for a text
    const found = text.replaceAll(",", "").match(/^-?\d+(\.\d+)?(e[+-]?\d+)?/i);
    return found ? +found[0] : NaN;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => {
        const text = row.cells[column].textContent.trim();
        return { row, text, value: valueOf(text) };
      });
      const none = (one) => one.text === "" || one.text === "–";
      rows.sort((a, b) => none(a) - none(b) || sign * (Number.isNaN(a.value) ||
        Number.isNaN(b.value) ? a.text.localeCompare(b.text) : a.value - b.value));
      body.append(...rows.map((one) => one.row));
    }));
  }

  refresh();
  document.documentElement.dataset.ready = "yes";
})();
