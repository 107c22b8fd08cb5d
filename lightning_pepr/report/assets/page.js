"use strict";
// The page: reads the data in #data, draws, and answers to clicks and keys. All text of records goes through
// `textContent`, or through `plain` where plotly would read tags in it.
(() => {
  let data = JSON.parse(document.getElementById("data").textContent);
  const MOST_DRAWN = 700; // dots; of those that lie on others some are left out
  const MOST_WITH_INTERVALS = 150;
  const MOST_SHOWN = 6; // runs in curves and bars, where none is pinned
  const MOST_FINDINGS = 200;
  const ROWS = 25; // of the table, on a page
  const STAGES = ["train", "validate", "other", "test"];
  const PATTERNS = ["", "/", ".", "x", "-", "+"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const CONFIG = {
    displaylogo: false, responsive: true,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // none that sends the data anywhere
  };

  const state = {
    resource: "", space: "own", group: null, colour: "", search: "", sort: { key: "rank", down: false },
    page: 0, pins: [], front: true, intervals: true, zoom: null, shown: "",
  };
  const $ = (id) => document.getElementById(id);

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "on") for (const [event, handle] of Object.entries(value)) element.addEventListener(event, handle);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined).map((child) =>
      child instanceof Node ? child : document.createTextNode(String(child))));
    return element;
  }

  // Names may be written from right to left; that is not to turn what is beside them. Where only plain text is to be
  // had, they are shown without the characters that turn, or are not seen.
  const name = (text) => make("bdi", {}, text);
  const tidy = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g, " ");
  const model = (i) => tidy(data.runs.model[i]);

  // Plotly reads some tags in its texts.
  const plain = (text, most = 42) => {
    const whole = tidy(text).replace(/\s+/g, " ");
    const short = whole.length > most ? `${whole.slice(0, most - 1)}…` : whole;
    return short.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\$/g, "&#36;");
  };

  // Numbers in words -------------------------------------------------------------------------------------------------

  const number = (value) =>
    value === 0 ? "0" : Math.abs(value) >= 100
      ? value.toLocaleString("en-GB", { maximumFractionDigits: 0 })
      : value.toLocaleString("en-GB", { maximumSignificantDigits: 3 });
  const decimal = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
  const percent = (share) => {
    const value = share * 100;
    const near = Math.abs(value - 100) < 0.05 && value !== 100; // not to call 99.98 % all
    const digits = near ? 2 : value < 1 ? 2 : value < 10 || (value >= 90 && value < 1000) ? 1 : 0;
    return `${value.toFixed(digits)}\u00a0%`;
  };
  const resourceOf = (letter) => data.resources.find((resource) => resource.letter === letter);
  const word = (letter) => (letter === "N" ? "parameters" : letter === "D" ? "data" : resourceOf(letter).name);

  function scaleOf(letter, largest) {
    const { units } = resourceOf(letter);
    return units.find(([scale]) => largest >= scale) || units[units.length - 1];
  }

  function amount(letter, value, error) {
    if (value === null || value === undefined) return "not measured";
    const [scale, unit] = scaleOf(letter, value);
    const about = error ? ` ± ${number(error / scale)}` : "";
    const suffix = letter === "D" ? "samples" : letter === "N" ? "parameters" : letter === "C" ? "CO2e" : "";
    return [`${number(value / scale)}${about}`, unit, suffix].filter(Boolean).join(" ");
  }

  const most = (values, least) => values.reduce((a, b) => Math.max(a, b), least); // of more than a call can take
  const between = (low, high) => (low === high ? String(low) : `${low}–${high}`);

  // What is shown ----------------------------------------------------------------------------------------------------

  const all = () => data.runs.model.map((_, index) => index);
  const measured = (letter) => data.runs.cost[letter].some((cost) => cost !== null);
  const spaceNow = () => data.spaces.find((space) => space.key === state.space) || null;
  const members = () => (state.group === null ? all() : all().filter((i) => data.runs.group[i] === state.group));

  function rangeNow(letter, of) {
    const space = spaceNow();
    return space === null ? Scores.rangeOf(data.runs, of, letter) : space.ranges[letter] || null;
  }

  let view = null;
  function evaluate() {
    const of = members();
    view = Scores.evaluate(data, of, state.resource, rangeNow(state.resource, of), data.baseline);
    view.members = of;
    view.matches = null;
    const wanted = state.search.trim().toLowerCase();
    if (wanted) {
      const facets = data.facets.map((facet) => (i) => (facet.of[i] === null ? "" : facet.categories[facet.of[i]]));
      view.matches = new Set(of.filter((i) =>
        [data.runs.model[i], data.runs.group[i] || "", ...facets.map((text) => text(i))].some((text) =>
          text.toLowerCase().includes(wanted))));
    }
  }

  const indexOf = (key) => data.runs.key.indexOf(key);
  const pinned = () => state.pins.map(indexOf).filter((i) => i >= 0);
  const letterOfPin = (i) => ["A", "B"][pinned().indexOf(i)] || "";

  function pin(i) {
    const key = data.runs.key[i];
    untouched.pins = false;
    if (state.pins.includes(key)) state.pins = state.pins.filter((other) => other !== key);
    else state.pins = [...state.pins, key].slice(-2);
    drawProfile();
    drawCompare();
    drawTable();
    later(drawCurves, drawCosts);
  }

  function shownRuns(has) {
    const chosen = pinned().filter(has);
    return chosen.length ? chosen : view.order.filter(has).slice(0, MOST_SHOWN);
  }

  // A run by its model and by what tells it from others of that model: its group, a setting or, at last, its identifier.
  function label(i) {
    const { group, key } = data.runs;
    const alike = all().filter((other) => other !== i && data.runs.model[other] === data.runs.model[i]);
    const elsewhere = alike.some((other) => group[other] !== group[i]);
    const words = elsewhere && group[i] !== null ? [group[i]] : [];
    const rivals = words.length ? alike.filter((other) => group[other] === group[i]) : alike;
    if (rivals.length) {
      const facet = data.facets.find(({ of }) => of[i] !== null && rivals.every((other) => of[other] !== of[i]));
      words.push(facet ? `${facet.name} ${facet.categories[facet.of[i]]}` : key[i].slice(0, 8));
    }
    return `${letterOfPin(i) ? `${letterOfPin(i)}: ` : ""}${model(i)}${words.length ? ` (${words.join(", ")})` : ""}`;
  }

  function howOf(i, letter) {
    const [quality, lost, reason] = data.how.kinds[data.how.of[i]][letter] || [];
    if (!quality) return "";
    const words = { counter: letter === "E" || letter === "C" ? "energy counter" : "counted", integrated: "power, added up",
      estimated: "estimated", unavailable: "not measured" };
    return [words[quality] || quality, lost ? "a lower bound" : "", reason].filter(Boolean).join("; ");
  }

  // Every figure of a run, and how it was had.
  function details(i) {
    const { runs } = data;
    const rows = [];
    const samples = runs.samples[i] ? `, on ${number(runs.samples[i])} samples` : "";
    const interval = samples ? ` (${decimal(runs.pLow[i])} to ${decimal(runs.pHigh[i])}${samples})` : "";
    rows.push(["P", `${decimal(runs.p[i])}${interval}`]);
    const found = view.of.get(i);
    if (found) {
      const spread = found.high > found.low ? ` (${decimal(found.low)} to ${decimal(found.high)})` : "";
      rows.push([`PePR-${state.resource}`, `${decimal(found.score)}${spread}, R = ${decimal(found.r)}, rank ${between(found.rank, found.worst)}`]);
    }
    for (const { letter } of data.resources) {
      const value = runs.cost[letter][i];
      const how = howOf(i, letter);
      if (value === null && !how) continue;
      const error = runs.error[letter] ? runs.error[letter][i] : null;
      const text = amount(letter, value, error);
      rows.push([word(letter), how && how !== text ? `${text} (${how})` : text]);
    }
    for (const facet of data.facets) {
      if (facet.of[i] !== null && facet.name !== "quality") rows.push([facet.name, facet.categories[facet.of[i]]]);
    }
    if (runs.device[i] && !data.facets.some((facet) => facet.name === "device")) rows.push(["device", runs.device[i]]);
    if (runs.status[i] && !data.facets.some((facet) => facet.name === "status")) rows.push(["status", runs.status[i]]);
    return rows;
  }

  // Colours ----------------------------------------------------------------------------------------------------------

  const media = window.matchMedia("(prefers-color-scheme: dark)");
  let chosenTheme = null;
  const themeNow = () => chosenTheme || (media.matches ? "dark" : "light");
  const colours = () => data.themes[themeNow()];
  const faded = (hex, alpha) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${alpha})`;
  };

  function applyTheme() {
    document.documentElement.dataset.theme = themeNow();
    $("theme").textContent = themeNow() === "dark" ? "Light colours" : "Dark colours";
  }

  function layout(more) {
    const theme = colours();
    const axis = { gridcolor: faded(theme.line, 0.5), linecolor: theme.line, zeroline: false, tickcolor: theme.line, automargin: true };
    const { xaxis, yaxis, xaxis2, yaxis2, ...others } = more;
    const made = {
      paper_bgcolor: theme.background, plot_bgcolor: theme.background,
      font: { color: theme.ink, family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 13 },
      margin: { l: 56, r: 24, t: 24, b: 48 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)" },
      hoverlabel: { bgcolor: theme.background, bordercolor: theme.ink, font: { color: theme.ink } },
      xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...others,
    };
    if (xaxis2) made.xaxis2 = { ...axis, ...xaxis2 };
    if (yaxis2) made.yaxis2 = { ...axis, ...yaxis2 };
    return made;
  }

  const config = () => ({ ...CONFIG, displayModeBar: narrow() ? false : "hover" });
  const narrow = () => document.documentElement.clientWidth < 600;

  // P against R ------------------------------------------------------------------------------------------------------

  function windowOf(known) {
    let [low, high, right] = [1, 0, 1];
    for (const i of known) {
      low = Math.min(low, data.runs.p[i]);
      high = Math.max(high, data.runs.p[i]);
      right = Math.max(right, view.of.get(i).r);
    }
    const margin = Math.max(0.14 * (high - low), 0.025);
    return { x: [-0.05 * right, 1.07 * right], y: [Math.max(0, low - margin), Math.min(1.02, high + margin)] };
  }

  function ticks(low, high, most) {
    const raw = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw) * power;
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k += 1) found.push(Number((k * step).toPrecision(12)));
    return found;
  }

  // The lines along which the score is the same: P = P0 + (1 - P0) × score × (1 + R).
  function contours({ x: [left, right], y: [bottom, top] }) {
    const base = data.baseline || 0;
    const theme = colours();
    const at = (score, r) => base + (1 - base) * score * (1 + Math.max(0, r));
    const least = Math.max(0, (bottom - base) / (1 - base) / (1 + Math.max(0, right)));
    const levels = ticks(Math.max(least, 1e-6), Math.max((top - base) / (1 - base), 1e-3), 12);
    const shapes = [];
    const annotations = [];
    let free = Infinity;
    const digits = Math.max(...levels.map((level) => (String(Number(level.toPrecision(6))).split(".")[1] || "").length), 2);
    for (const level of levels) {
      const points = [left, 0, right].filter((r, k) => k !== 1 || (left < 0 && right > 0));
      const path = points.map((r, k) => `${k ? "L" : "M"}${r},${at(level, r)}`).join("");
      shapes.push({ type: "path", path, line: { color: theme.line, width: 1 }, layer: "below" });
      const leaves = at(level, right) > top;
      const r = leaves ? ((top - base) / ((1 - base) * level) - 1) : right;
      if (leaves && (r > free - (narrow() ? 0.13 : 0.05) * (right - left) || r < left)) continue;
      if (leaves) free = r;
      annotations.push({
        x: r, y: leaves ? top : at(level, right), text: level.toFixed(digits), showarrow: false,
        xanchor: leaves ? "center" : "left", yanchor: leaves ? "bottom" : "middle",
        font: { color: theme.faint, size: 10 }, cliponaxis: false,
      });
    }
    return { shapes, annotations };
  }

  function thin(points, frame, keep) {
    const inside = points.filter((i) => {
      const { r } = view.of.get(i);
      const p = data.runs.p[i];
      return r >= frame.x[0] && r <= frame.x[1] && p >= frame.y[0] && p <= frame.y[1];
    });
    if (inside.length <= MOST_DRAWN) return inside;
    const width = Math.max(240, $("profile").clientWidth - 80);
    const height = Math.max(160, $("profile").clientHeight - 90);
    for (let cell = 5; ; cell += 2) {
      const taken = new Set();
      const drawn = [];
      const visit = (i) => {
        const column = Math.floor((view.of.get(i).r - frame.x[0]) / (frame.x[1] - frame.x[0]) * width / cell);
        const row = Math.floor((data.runs.p[i] - frame.y[0]) / (frame.y[1] - frame.y[0]) * height / cell);
        const at = column * 10000 + row;
        if (taken.has(at) && !keep.has(i)) return;
        taken.add(at);
        drawn.push(i);
      };
      inside.filter((i) => keep.has(i)).forEach(visit);
      inside.filter((i) => !keep.has(i)).forEach(visit);
      if (drawn.length <= MOST_DRAWN || cell > 40) return drawn;
    }
  }

  function errorsOf(points) {
    const { runs } = data;
    const letter = state.resource;
    const [right, left, up, down] = [[], [], [], []];
    for (const i of points) {
      const cost = runs.cost[letter][i];
      const error = (runs.error[letter] && runs.error[letter][i]) || 0;
      const { r } = view.of.get(i);
      right.push(Scores.normalize(cost + error, view.range) - r);
      left.push(r - Scores.normalize(Math.max(0, cost - error), view.range));
      up.push(Math.max(0, runs.pHigh[i] - runs.p[i]));
      down.push(Math.max(0, runs.p[i] - runs.pLow[i]));
    }
    const style = { type: "data", symmetric: false, thickness: 1, width: 0 };
    return { error_x: { ...style, array: right, arrayminus: left }, error_y: { ...style, array: up, arrayminus: down } };
  }

  // Where in the picture, in pixels, a run is; and what the letter of a pinned one covers.
  function pixels(k, frame) {
    const wide = Math.max(200, $("profile").clientWidth - 110);
    const high = Math.max(120, $("profile").clientHeight - 90);
    return [(view.of.get(k).r - frame.x[0]) / (frame.x[1] - frame.x[0]) * wide, (frame.y[1] - data.runs.p[k]) / (frame.y[1] - frame.y[0]) * high];
  }

  function letterPlace(i, frame, size) {
    const [x, y] = pixels(i, frame);
    return [x - 14 - size / 2, x + 14 + size / 2, y - 34 - size / 2, y + 8 + size / 2];
  }

  // Where, of some places around a dot, a label covers the fewest dots and no other label; in pixels from the dot.
  function freePlace(i, drawn, frame, boxes, width, height) {
    const wide = Math.max(200, $("profile").clientWidth - 110);
    const high = Math.max(120, $("profile").clientHeight - 90);
    const [x, y] = pixels(i, frame);
    const dots = drawn.map((k) => pixels(k, frame));
    let best = null;
    for (const reach of [1, 1.7, 2.6]) {
      for (const [dx, dy] of [[1, -1], [-1, -1], [1, 1], [-1, 1], [0, -1], [0, 1], [1.2, 0], [-1.2, 0]]) {
        const ax = dx * (width / 2 + 14 * reach);
        const ay = dy * (height / 2 + 22 * reach);
        const [left, right, top, bottom] = [x + ax - width / 2, x + ax + width / 2, y + ay - height / 2, y + ay + height / 2];
        const covered = dots.filter(([u, v]) => u > left - 8 && u < right + 8 && v > top - 8 && v < bottom + 8).length;
        const hit = boxes.filter((box) => left < box[1] && right > box[0] && top < box[3] && bottom > box[2]).length;
        const outside = left < 0 || right > wide + 40 || top < 0 || bottom > high ? 1 : 0;
        const cost = covered + 1000 * hit + 1000 * outside + reach / 2;
        if (best === null || cost < best.cost) best = { cost, ax, ay, box: [left, right, top, bottom] };
      }
    }
    boxes.push(best.box);
    return best;
  }

  const bestBy = (known, value) => known.reduce((best, i) => (best === null || value(i) > value(best) ? i : best), null);

  function drawProfile() {
    const theme = colours();
    const { runs } = data;
    const { known } = view;
    const letter = state.resource;
    const home = windowOf(known);
    const frame = state.zoom || home;
    const pins = pinned().filter((i) => view.of.has(i));
    const best = bestBy(known, (i) => runs.p[i]);
    const pick = known.length ? view.order[0] : null;
    const keep = new Set([...pins, ...view.front, best, pick, ...(view.matches && view.matches.size <= 200 ? view.matches : [])]);
    const drawn = thin(known, frame, keep);
    const largest = most(known.map((i) => runs.cost.N[i] || 0), 1);
    const crowd = Math.max(0.4, Math.min(1, 30 / Math.max(known.length, 1)));
    const size = (i) => (runs.cost.N[i] === null ? 9 : 6 + 22 * crowd * Math.sqrt(runs.cost.N[i] / largest));
    const facet = data.facets.find((each) => each.name === state.colour);
    const groups = new Map();
    for (const i of drawn) {
      const kind = facet ? facet.of[i] : 0;
      if (!groups.has(kind)) groups.set(kind, []);
      groups.get(kind).push(i);
    }
    const bars = state.intervals && drawn.length <= MOST_WITH_INTERVALS;
    const traces = [];
    for (const [kind, points] of [...groups].sort((a, b) => (a[0] === null) - (b[0] === null) || a[0] - b[0])) {
      points.sort((a, b) => size(b) - size(a)); // a small dot lies on top of a large one
      const series = kind === null || !facet ? theme.model : theme.series[kind % theme.series.length];
      const trace = {
        type: "scatter", mode: "markers", name: facet ? (kind === null ? "not known" : plain(facet.categories[kind], 24)) : "runs", showlegend: Boolean(facet),
        x: points.map((i) => view.of.get(i).r), y: points.map((i) => runs.p[i]), customdata: points, hoverinfo: "none",
        marker: {
          color: facet && kind === null ? theme.faint : series, size: points.map(size), opacity: 0.85,
          symbol: facet && kind !== null ? data.symbols[kind % data.symbols.length] : "circle",
          line: { color: theme.ink, width: known.length > 300 ? 0.4 : 0.8 },
        },
        cliponaxis: known.length > 300,
      };
      if (bars) {
        const errors = errorsOf(points);
        for (const each of Object.values(errors)) each.color = faded(theme.ink, 0.35);
        Object.assign(trace, errors);
      }
      if (view.matches) {
        trace.selectedpoints = points.map((i, k) => (view.matches.has(i) ? k : -1)).filter((k) => k >= 0);
        trace.unselected = { marker: { opacity: 0.12 } };
      }
      traces.push(trace);
    }
    if (state.front && view.front.size) {
      const line = [...view.front].sort((a, b) => view.of.get(a).r - view.of.get(b).r || runs.p[a] - runs.p[b]);
      traces.unshift({
        type: "scatter", mode: "lines", name: "Pareto front", hoverinfo: "skip", line: { shape: "hv", color: theme.faint, width: 1.5, dash: "dot" },
        x: [...line.map((i) => view.of.get(i).r), home.x[1]], y: [...line.map((i) => runs.p[i]), runs.p[line[line.length - 1]]],
      });
    }
    const paths = pins.filter((i) => data.curves[i] && data.curves[i].p.length > 1 && data.curves[i][letter]);
    for (const i of paths) {
      const curve = data.curves[i];
      traces.unshift({
        type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, line: { color: faded(theme.ink, 0.6), width: 1 },
        x: curve[letter].map((cost) => (cost === null ? null : Scores.normalize(cost, view.range))), y: curve.p,
      });
    }
    if (pins.length) {
      const trace = {
        type: "scatter", mode: "markers+text", name: "pinned", showlegend: false, hoverinfo: "skip",
        x: pins.map((i) => view.of.get(i).r), y: pins.map((i) => runs.p[i]), text: pins.map(letterOfPin), textposition: "top center",
        textfont: { color: theme.ink, size: 16, weight: 700 }, cliponaxis: false,
        marker: { size: pins.map((i) => size(i) + 9), color: "rgba(0,0,0,0)", line: { color: theme.ink, width: 2.5 } },
      };
      if (state.intervals && !bars) Object.assign(trace, errorsOf(pins));
      traces.push(trace);
    }
    const { shapes, annotations } = contours(frame);
    if (data.baseline !== null) {
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: data.baseline, y1: data.baseline, line: { color: theme.faint, dash: "dash", width: 1 } });
    }
    const named = new Map();
    if (best !== null) named.set(best, ["best P", theme.best]);
    if (pick !== null) named.set(pick, [pick === best ? `best P and best PePR-${letter}` : `best PePR-${letter}`, theme.pick]);
    const boxes = pins.map((i) => letterPlace(i, frame, size(i)));
    for (const [i, [words, colour]] of named) {
      const { r } = view.of.get(i);
      if (r < frame.x[0] || r > frame.x[1] || runs.p[i] < frame.y[0] || runs.p[i] > frame.y[1]) continue;
      const title = plain(runs.model[i], narrow() ? 20 : 32);
      const { ax, ay } = freePlace(i, drawn, frame, boxes, 7 * Math.max(title.length, words.length) + 10, 38);
      annotations.push({
        x: r, y: runs.p[i], ax, ay, text: `<b>${title}</b><br>${words}`, align: "left", showarrow: true,
        arrowcolor: theme.ink, arrowwidth: 1, arrowhead: 0, standoff: size(i) / 2 + 2, bgcolor: faded(theme.background, 0.85),
        bordercolor: colour, borderwidth: 2, borderpad: 3, font: { size: 12, color: theme.ink },
      });
    }
    const [low, high] = view.range || [0, 0];
    const ends = view.range ? ` (0 is ${amount(letter, low)}, 1 is ${amount(letter, high)})` : "";
    const axis = narrow() ? `R of ${word(letter)}` : `R: ${word(letter)} over the space${ends}`;
    Plotly.react("profile", traces, layout({
      uirevision: `${letter}|${state.space}|${state.group}`, shapes, annotations, dragmode: narrow() ? false : "zoom",
      showlegend: Boolean(facet) || (state.front && view.front.size > 0), hovermode: "closest",
      margin: { l: narrow() ? 44 : 60, r: narrow() ? 40 : 52, t: 36, b: 52 }, legend: { orientation: "h", y: 1.05, yanchor: "bottom", x: 0 },
      xaxis: { title: { text: axis }, range: frame.x, showgrid: false }, yaxis: { title: { text: narrow() ? "P" : "Performance P" }, range: frame.y, showgrid: false },
    }), config());
    const lost = view.members.length - known.length;
    const about = [`PePR-${letter} = P / (1 + R) is the same along a line. The area of a dot grows with the parameters.`];
    if (narrow() && ends) about.push(`R${ends}.`);
    if (lost) about.push(`${lost} of ${view.members.length} runs have no ${view.range ? word(letter) : "range in this space"} or no P, and are not drawn.`);
    if (state.intervals && known.length > MOST_WITH_INTERVALS) about.push("Intervals are drawn for pinned runs only.");
    if (paths.length) about.push("The thin lines are the epochs of the pinned runs.");
    $("profile-about").textContent = about.join(" ");
    const hidden = known.length - drawn.length;
    $("thinned").hidden = hidden <= 0 || state.zoom !== null;
    $("thinned").textContent = `${drawn.length.toLocaleString("en-GB")} of ${known.length.toLocaleString("en-GB")} dots are drawn; the others lie on them. Zoom in to see them.`;
  }

  function listenToProfile() {
    const chart = $("profile");
    chart.on("plotly_click", (event) => {
      const point = event.points.find((each) => each.customdata !== undefined);
      if (point) pin(point.customdata);
    });
    chart.on("plotly_hover", (event) => {
      const point = event.points.find((each) => each.customdata !== undefined);
      if (point) showTip(point.customdata, event.event);
    });
    chart.on("plotly_unhover", () => { $("tip").hidden = true; });
    chart.on("plotly_doubleclick", () => {
      state.zoom = null;
      window.setTimeout(drawProfile, 0);
    });
    chart.on("plotly_relayout", (change) => {
      if (!("xaxis.range[0]" in change || "yaxis.range[0]" in change)) return;
      const { xaxis, yaxis } = chart._fullLayout;
      const home = windowOf(view.known);
      const zoom = { x: [...xaxis.range], y: [...yaxis.range] };
      const same = ["x", "y"].every((key) => zoom[key].every((end, k) => Math.abs(end - home[key][k]) < 1e-9));
      state.zoom = same ? null : zoom;
      window.setTimeout(drawProfile, 0);
    });
  }

  function showTip(i, event) {
    const tip = $("tip");
    const rows = details(i).map(([key, text]) => make("tr", {}, make("td", {}, key), make("td", {}, text)));
    tip.replaceChildren(make("strong", {}, name(data.runs.model[i])), make("table", { role: "presentation" }, make("tbody", {}, ...rows)));
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const [x, y] = [event.clientX || 0, event.clientY || 0];
    tip.style.left = `${Math.max(4, x + 16 + width > window.innerWidth ? x - width - 16 : x + 16)}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 12, window.innerHeight - height - 8))}px`;
  }

  // Two models in a sentence -----------------------------------------------------------------------------------------

  function compare(a, b) {
    const { runs } = data;
    const letter = state.resource;
    const of = word(letter);
    const cost = (i) => runs.cost[letter][i];
    if (runs.p[a] === null || runs.p[b] === null) return "The performance of one of them is not known.";
    // The cheaper one is told by the dearer one.
    const [dear, cheap] = cost(a) !== null && cost(b) !== null && cost(a) < cost(b) ? [b, a] : [a, b];
    const titled = (i) => `${letterOfPin(i)} (${model(i)})`;
    const ratio = runs.p[dear] > 0 ? runs.p[cheap] / runs.p[dear] : NaN;
    const kept = Math.abs(ratio - 1) < 5e-5 ? `performs as ${titled(dear)} does` : Number.isNaN(ratio) ? `has P = ${decimal(runs.p[cheap])} where that of ${titled(dear)} is 0`
      : `${ratio <= 1 ? "keeps" : "reaches"} ${percent(ratio)} of ${titled(dear)}’s performance`;
    const parts = [];
    if (cost(a) === null || cost(b) === null) parts.push(`${titled(cheap)} ${kept}; the ${of} of ${cost(a) === null && cost(b) === null ? "both" : titled(cost(a) === null ? a : b)} was not measured.`);
    else if (cost(dear) === 0) parts.push(`${titled(cheap)} ${kept}; neither has cost any ${of}.`);
    else parts.push(`${titled(cheap)} ${kept} at ${percent(cost(cheap) / cost(dear))} of its ${of}.`);
    const apart = (low, high) => low(a) > high(b) || low(b) > high(a);
    if (runs.samples[a] && runs.samples[b] && runs.p[a] !== runs.p[b]) {
      parts.push(apart((i) => runs.pLow[i], (i) => runs.pHigh[i])
        ? "The intervals of their performances do not overlap."
        : "The intervals of their performances overlap: on so few samples chance may have made the difference.");
    }
    const errors = runs.error[letter];
    if (errors && cost(a) !== null && cost(b) !== null && cost(a) !== cost(b)) {
      const within = (error) => !apart((i) => cost(i) - error(i), (i) => cost(i) + error(i));
      const own = (i) => errors[i] || 0;
      const gained = (i) => own(i) + (runs.gain[i] || 0) * cost(i); // as `rank` does where sensors differ
      if (within(own)) parts.push(`Their ${of} differs by less than the errors of both.`);
      else if (runs.boards[a] !== runs.boards[b] && within(gained)) parts.push(`Their ${of} differs by less than the errors of both with those of their sensors, which are on different boards.`);
    }
    return parts.join(" ");
  }

  function drawCompare() {
    const pins = pinned();
    const cards = $("compare-cards");
    if (!pins.length) {
      $("compare-sentence").textContent = "Click two dots, or press “Pin” in two rows of the table.";
      cards.replaceChildren();
      return;
    }
    $("compare-sentence").textContent = pins.length === 2 ? compare(...pins) : `${letterOfPin(pins[0])} is ${model(pins[0])}. Pin another to compare.`;
    const found = pins.map((i) => new Map(details(i)));
    const keys = [...new Set(found.flatMap((each) => [...each.keys()]))];
    const head = make("tr", {}, make("td"), ...pins.map((i) => make("th", { scope: "col" }, `${letterOfPin(i)}: `, name(data.runs.model[i]), " ",
      make("button", { type: "button", "aria-label": `Unpin ${data.runs.model[i]}`, on: { click: () => pin(i) } }, "Unpin"))));
    const rows = keys.map((key) => make("tr", {}, make("th", { scope: "row" }, key), ...found.map((each) => make("td", { class: "wrap" }, each.get(key) || "–"))));
    const table = make("table", {}, make("caption", { class: "unseen" }, "The pinned runs, side by side"), make("thead", {}, head), make("tbody", {}, ...rows));
    cards.replaceChildren(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The pinned runs, side by side" }, table));
  }

  // The table --------------------------------------------------------------------------------------------------------

  function tableColumns() {
    const { runs } = data;
    const letter = state.resource;
    const value = (key) => (i) => (view.of.has(i) ? view.of.get(i)[key] : null);
    const spread = (i) => (view.of.has(i) && view.of.get(i).high > view.of.get(i).low ? `${decimal(view.of.get(i).low)}–${decimal(view.of.get(i).high)}` : "–");
    const columns = [
      { key: "rank", title: "Rank", get: value("rank"), show: (i) => (view.of.has(i) ? between(view.of.get(i).rank, view.of.get(i).worst) : "–") },
      { key: "model", title: "Model", get: (i) => runs.model[i], text: true },
    ];
    if (runs.group.some((group) => group !== null) && state.group === null) columns.push({ key: "group", title: "Group", get: (i) => runs.group[i], text: true });
    for (const facet of data.facets) {
      if (!["group", "device", "quality", "status"].includes(facet.name)) columns.push({ key: `facet ${facet.name}`, title: facet.name, text: true, get: (i) => (facet.of[i] === null ? null : facet.categories[facet.of[i]]) });
    }
    columns.push({ key: "p", title: "P", get: (i) => runs.p[i], show: (i) => decimal(runs.p[i]) });
    if (view.known.length) {
      columns.push({ key: "score", title: `PePR-${letter}`, get: value("score"), show: (i) => decimal(value("score")(i)) });
      if (view.known.some((i) => view.of.get(i).high > view.of.get(i).low)) columns.push({ key: "interval", title: "Interval", get: value("low"), show: spread });
      columns.push({ key: "r", title: "R", get: value("r"), show: (i) => decimal(value("r")(i)) });
    }
    for (const resource of data.resources) {
      const costs = runs.cost[resource.letter];
      if (!measured(resource.letter)) continue;
      const [scale, unit] = scaleOf(resource.letter, most(view.members.map((i) => costs[i] || 0), 0));
      columns.push({ key: resource.letter, title: `${resource.letter === "N" ? "Params" : resource.letter === "D" ? "Samples" : resource.letter === "C" ? "CO2e" : resource.name[0].toUpperCase() + resource.name.slice(1)}${unit ? ` / ${unit}` : ""}`,
        get: (i) => costs[i], show: (i) => (costs[i] === null ? "–" : number(costs[i] / scale)) });
    }
    columns.push({ key: "front", title: "Pareto", get: (i) => (view.front.has(i) ? 1 : 0), show: (i) => (view.front.has(i) ? "yes" : ""), text: false });
    if (runs.quality.some((quality) => quality !== null)) columns.push({ key: "quality", title: "Energy is", get: (i) => runs.quality[i], text: true });
    return columns;
  }

  function drawTable() {
    const columns = tableColumns();
    const sorted = columns.find((column) => column.key === state.sort.key) || columns[0];
    let rows = view.order.filter((i) => view.matches === null || view.matches.has(i));
    if (sorted.key !== "rank" || state.sort.down) {
      const way = state.sort.down ? -1 : 1;
      rows = rows.map((i) => [i, sorted.get(i)]).sort(([, a], [, b]) => {
        if (a === null || b === null) return (a === null) - (b === null); // what is not known comes last
        return way * (sorted.text ? String(a).localeCompare(String(b), "en", { numeric: true }) : a - b);
      }).map(([i]) => i);
    }
    const pages = Math.max(1, Math.ceil(rows.length / ROWS));
    state.page = Math.min(state.page, pages - 1);
    const head = make("tr", {}, make("th", { scope: "col" }, "Pin"), ...columns.map((column) => make("th", {
      scope: "col", class: column.text ? null : "number",
      "aria-sort": column === sorted ? (state.sort.down ? "descending" : "ascending") : "none",
    }, make("button", { type: "button", "data-key": column.key, on: { click: () => sortBy(column) } }, column.title))));
    const focused = document.activeElement && document.activeElement.closest("#runs button");
    const again = focused && (focused.dataset.key || focused.dataset.run);
    document.querySelector("#runs thead").replaceChildren(head);
    document.querySelector("#runs tbody").replaceChildren(...rows.slice(state.page * ROWS, (state.page + 1) * ROWS).map((i) => {
      const letter = letterOfPin(i);
      return make("tr", { class: letter ? "pinned" : null },
        make("td", {}, make("button", { type: "button", "data-run": i, "aria-pressed": letter ? "true" : "false", "aria-label": `Pin ${data.runs.model[i]}`, on: { click: () => pin(i) } }, letter || "Pin")),
        ...columns.map((column) => {
          const text = column.show ? column.show(i) : column.get(i) === null ? "–" : column.get(i);
          if (column.key === "model") return make("th", { scope: "row", class: "name", title: data.runs.model[i] }, name(text));
          return make("td", { class: column.text ? "name" : "number" }, column.text ? name(text) : text);
        }));
    }));
    if (again) {
      const target = document.querySelector(`#runs button[data-key="${CSS.escape(again)}"], #runs button[data-run="${CSS.escape(again)}"]`);
      if (target) target.focus({ preventScroll: true });
    }
    $("found").textContent = view.matches === null ? `${rows.length.toLocaleString("en-GB")} runs` : `${rows.length.toLocaleString("en-GB")} of ${view.members.length.toLocaleString("en-GB")} runs`;
    $("pages").hidden = pages < 2;
    $("page").textContent = `Page ${state.page + 1} of ${pages}`;
    $("previous").disabled = state.page === 0;
    $("next").disabled = state.page >= pages - 1;
  }

  function sortBy(column) {
    const first = column.text || column.key === "rank"; // numbers: the largest first
    state.sort = state.sort.key === column.key ? { key: column.key, down: !state.sort.down } : { key: column.key, down: !first };
    state.page = 0;
    drawTable();
  }

  // Over the epochs --------------------------------------------------------------------------------------------------

  function numbers(into, title, head, rows) {
    const cells = (row, tag) => row.map((cell, k) => make(k ? tag : "th", k ? { class: "number" } : { scope: tag === "td" ? "row" : "col" }, cell));
    const table = make("table", {}, make("caption", { class: "unseen" }, title), make("thead", {}, make("tr", {}, ...head.map((text, k) => make("th", { scope: "col", class: k ? "number" : null }, text)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row, "td")))));
    const box = $(into);
    const open = box.querySelector("details") && box.querySelector("details").open;
    box.replaceChildren(make("details", { open: Boolean(open) }, make("summary", {}, "The numbers"),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, table)));
  }

  function drawCurves() {
    const letter = state.resource;
    const has = (i) => data.curves[i] !== null && data.curves[i].p.length > 0;
    const runs = shownRuns(has);
    $("curves-section").hidden = !all().some(has);
    if ($("curves-section").hidden) return;
    const theme = colours();
    const traces = [];
    const rows = [];
    runs.forEach((i, k) => {
      const name = label(i);
      const curve = data.curves[i];
      const costs = curve[letter] || (letter === "N" ? curve.p.map(() => data.runs.cost.N[i]) : curve.p.map(() => null));
      const scores = curve.p.map((p, n) => (costs[n] === null || view.range === null ? null : Scores.gained(p, data.baseline) / (1 + Scores.normalize(costs[n], view.range))));
      const style = {
        type: "scatter", mode: curve.p.length > 40 ? "lines" : "lines+markers", name: plain(name, 60), legendgroup: String(i),
        line: { color: theme.series[k % theme.series.length], dash: DASHES[k % DASHES.length], width: 2 },
        marker: { symbol: data.symbols[k % data.symbols.length], size: 7 }, hovertemplate: "epoch %{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
      };
      traces.push({ ...style, x: curve.epoch, y: curve.p, yaxis: "y2", showlegend: false }, { ...style, x: curve.epoch, y: scores });
      curve.epoch.forEach((epoch, n) => rows.push([name, epoch, decimal(curve.p[n]), decimal(scores[n]), costs[n] === null ? "–" : amount(letter, costs[n])]));
    });
    const latest = Math.max(...runs.map((i) => data.curves[i].epoch[data.curves[i].epoch.length - 1]));
    Plotly.react("curves", traces, layout({
      hovermode: "closest", showlegend: true, margin: { l: 68, r: 24, t: 24, b: 48 },
      xaxis: { title: { text: "Epoch" }, anchor: "y", tick0: 0, dtick: Math.max(1, Math.ceil(latest / 10)) },
      yaxis: { title: { text: `PePR-${letter}` }, domain: [0, 0.46] }, yaxis2: { title: { text: "P" }, domain: [0.54, 1], anchor: "x" },
    }), config());
    const thinned = runs.some((i) => data.curves[i].of);
    $("curves-about").textContent = `${pinned().some(has) ? "The pinned runs." : `The first ${runs.length} by rank; pin runs to see theirs.`} PePR falls as soon as an epoch gains less than it costs, so its peak is early by design.${thinned ? " Of long runs some epochs are left out." : ""}`;
    numbers("curves-data", "Performance, PePR and cost at each evaluation", ["Run", "Epoch", "P", `PePR-${letter}`, word(letter)], rows.slice(0, 400));
  }

  // Where the energy went --------------------------------------------------------------------------------------------

  const KWH = 3.6e12; // microjoules

  function bars(into, runs, series) {
    const theme = colours();
    const largest = Math.max(...runs.map((i) => series.reduce((sum, each) => sum + (each.of(i) || 0), 0))) / KWH;
    const [scale, unit] = scaleOf("E", largest);
    const traces = series.map((each, k) => ({
      type: "bar", orientation: "h", name: plain(each.name, 36), y: runs.map((_, n) => n), x: runs.map((i) => (each.of(i) === null ? null : each.of(i) / KWH / scale)),
      marker: { color: theme.series[each.colour % theme.series.length], line: { color: theme.background, width: 1 },
        pattern: { shape: PATTERNS[each.colour % PATTERNS.length], fillmode: "overlay", fgcolor: theme.background, fgopacity: 0.8, size: 7, solidity: 0.25 } },
      hovertemplate: `%{x:.3g} ${unit}<extra>%{fullData.name}</extra>`,
    }));
    $(into).style.height = `${130 + 30 * runs.length}px`;
    Plotly.react(into, traces, layout({
      barmode: "stack", hovermode: "closest", showlegend: true, bargap: 0.35, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "normal" },
      height: 130 + 30 * runs.length, xaxis: { title: { text: `Energy / ${unit}` }, rangemode: "tozero" },
      yaxis: { tickvals: runs.map((_, n) => n), ticktext: runs.map((i) => plain(label(i), narrow() ? 18 : 36)), autorange: "reversed", showgrid: false },
    }), config());
    numbers(`${into}-data`, `Energy of each run, ${into === "stages" ? "by stage" : "by device"}`, ["Run", ...series.map((each) => each.name)],
      runs.map((i) => [label(i), ...series.map((each) => (each.of(i) === null ? "–" : amount("E", each.of(i) / KWH)))]));
  }

  function drawCosts() {
    const has = (i) => data.stages[i] !== null && Object.values(data.stages[i]).some(([energy]) => energy !== null);
    $("costs-section").hidden = !all().some(has);
    if ($("costs-section").hidden) return;
    const runs = shownRuns(has);
    $("costs-about").textContent = `${pinned().some(has) ? "The pinned runs." : `The first ${runs.length} by rank; pin runs to see theirs.`} Train, validate and other make up what a run cost; test comes on top.`;
    bars("stages", runs, STAGES.filter((stage) => runs.some((i) => data.stages[i][stage])).map((stage) => ({
      name: stage, colour: STAGES.indexOf(stage), of: (i) => (data.stages[i][stage] ? data.stages[i][stage][0] : null),
    })));
    const kindOf = ([key, title]) => `${key.includes("gpu:") ? "GPU" : key.includes("cpu:") ? "CPU" : "Device"}${title && title !== key ? `: ${title}` : ""}`;
    const kinds = [...new Set(runs.flatMap((i) => data.devices[i].map(kindOf)))].sort();
    bars("devices", runs, kinds.map((kind, k) => ({
      name: kind, colour: k,
      of: (i) => data.devices[i].filter((device) => kindOf(device) === kind && device[2] !== null).reduce((sum, device) => (sum || 0) + device[2], null),
    })));
  }

  // The audit, and where it all comes from ---------------------------------------------------------------------------

  let drawnFindings = null;
  function drawFindings() {
    const key = `${data.made} ${state.group}`; // of nothing else do they depend
    if (key === drawnFindings) return;
    drawnFindings = key;
    const found = data.findings.filter((finding) => state.group === null || finding.group === state.group);
    const counts = ["high", "medium", "low"].map((level) => [level, found.filter((finding) => finding.confidence === level).length]).filter(([, count]) => count);
    $("findings-about").textContent = found.length
      ? `${found.length.toLocaleString("en-GB")} findings (${counts.map(([level, count]) => `${count} of ${level} confidence`).join(", ")}): costs that cannot be true, or are not what they seem.${found.length > MOST_FINDINGS ? ` The first ${MOST_FINDINGS} are shown; lightning-pepr audit gives all.` : ""}`
      : "Nothing: no cost is repeated, implausible or out of proportion, as far as the audit’s rules can tell.";
    $("findings-scroll").hidden = !found.length;
    const heads = ["Model", "Rule", "Confidence", "Evidence", ...(found.some((finding) => finding.group !== null) ? ["Group"] : []), "Where"];
    document.querySelector("#findings thead").replaceChildren(make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))));
    document.querySelector("#findings tbody").replaceChildren(...found.slice(0, MOST_FINDINGS).map((finding) => make("tr", {},
      make("th", { scope: "row", class: "name" }, name(finding.model === null ? "–" : finding.model)), make("td", {}, finding.rule), make("td", {}, finding.confidence),
      make("td", { class: "wrap" }, finding.evidence), ...(heads.includes("Group") ? [make("td", {}, name(finding.group === null ? "–" : finding.group))] : []),
      make("td", { class: "wrap" }, name([finding.source, finding.row === null || finding.row === undefined ? null : `row ${finding.row}`].filter(Boolean).join(", ") || "–")))));
  }

  function flat(value) {
    if (value === null || value === undefined || value === "") return "–";
    return typeof value === "object" ? Object.entries(value).map(([key, each]) => (Array.isArray(value) ? flat(each) : `${key} ${flat(each)}`)).join(", ") || "–" : String(value);
  }

  function drawProvenance() {
    const titles = { hardware: "Hardware", software: "Versions", carbon: "Carbon intensity" };
    $("provenance").replaceChildren(...Object.entries(titles).filter(([key]) => data.provenance[key].length).map(([key, title]) => make("div", {},
      make("h3", {}, title), ...data.provenance[key].map(([count, facts]) => make("details", { open: data.provenance[key].length === 1 },
        make("summary", {}, `${count} ${count === 1 ? "run" : "runs"}`),
        make("dl", {}, ...Object.entries(facts).flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, name(flat(value)))])))))));
    $("made").textContent = data.made;
    $("monitors").textContent = data.monitors.filter(Boolean).length ? ` Here: ${data.monitors.filter(Boolean).join(", ")}.` : "";
    $("baseline").textContent = data.baseline === null ? "" : ` P is rescaled by the baseline ${data.baseline}: (P − P0) / (1 − P0), not below 0; its dashed line is in the first picture.`;
    $("notes").replaceChildren(...data.notes.map((note) => make("p", {}, note)));
  }

  // Of each model its first run, and the means of all of its runs.
  function meansOf(known, letter) {
    const models = new Map();
    for (const i of known) {
      const same = data.runs.same[i];
      if (!models.has(same)) models.set(same, { run: i, count: 0, p: 0, cost: 0 });
      const each = models.get(same);
      each.count += 1;
      each.p += (data.runs.p[i] - each.p) / each.count;
      each.cost += (data.runs.cost[letter][i] - each.cost) / each.count;
    }
    return models;
  }

  function drawHeadline() {
    const { known } = view;
    const letter = state.resource;
    const count = new Set(view.members.map((i) => data.runs.same[i])).size;
    $("subtitle").textContent = `${view.members.length.toLocaleString("en-GB")} ${view.members.length === 1 ? "run" : "runs"} of ${count.toLocaleString("en-GB")} ${count === 1 ? "model" : "models"}`;
    const space = spaceNow();
    const low = view.range ? `Here R of ${word(letter)} is 0 at ${amount(letter, view.range[0])} and 1 at ${amount(letter, view.range[1])}. ` : "";
    $("space-about").textContent = low + (space ? `The space: ${space.about}` : "The space is that of the runs shown: its cheapest has R = 0 and its dearest R = 1, so that scores change when runs are added.");
    if (!known.length) {
      $("headline").textContent = view.range === null && space ? `This space has no ${word(letter)}; choose another resource or space.` : `No run here has both a performance and a measured ${word(letter)}.`;
      return;
    }
    const models = meansOf(known, letter);
    const first = models.get(data.runs.same[view.order[0]]);
    const top = bestBy([...models.values()], (each) => each.p);
    const [pick, best] = [first.run, top.run];
    const { mean: score, worst, rank } = view.of.get(pick);
    const rivals = worst - rank;
    const open = rivals ? ` As far as the errors tell, ${rivals} ${rivals === 1 ? "other" : "others"} may score higher.` : "";
    const one = known.length === 1;
    const flatRange = view.range[0] === view.range[1] ? ` All have cost the same ${word(letter)} in this space, so R is 0 and PePR is P.` : "";
    if (one) $("headline").textContent = `${model(pick)} reaches P = ${decimal(first.p)} for ${amount(letter, first.cost)}: PePR-${letter} is ${decimal(score)}.${flatRange}`;
    else if (pick === best) $("headline").textContent = `${model(pick)} has the best PePR-${letter} (${decimal(score)}) and the best P (${decimal(first.p)}).${open}${flatRange}`;
    else {
      const share = top.cost > 0 ? ` at ${percent(first.cost / top.cost)} of its ${word(letter)}` : "";
      $("headline").textContent = `${model(pick)} has the best PePR-${letter} (${decimal(score)}): it keeps ${percent(first.p / top.p)} of the performance of ${model(best)}, the best by P (${decimal(top.p)})${share}.${open}${flatRange}`;
    }
  }

  // Controls ---------------------------------------------------------------------------------------------------------

  function drawControls() {
    const space = spaceNow();
    $("resources").replaceChildren(make("legend", {}, "Resource"), ...data.resources.map(({ letter, name: title }) => {
      const there = measured(letter);
      const inSpace = space === null || letter in space.ranges;
      const why = there ? (inSpace ? null : "Not in this space") : "No run has measured it";
      return make("label", { title: why }, make("input", { type: "radio", name: "resource", value: letter, checked: letter === state.resource, disabled: Boolean(why),
        on: { change: () => change({ resource: letter }) } }), make("span", {}, title[0].toUpperCase() + title.slice(1)));
    }));
    const option = (value, text, chosen) => make("option", { value, selected: chosen }, text);
    const kinds = [...new Set(data.spaces.map((each) => each.kind))];
    $("space").replaceChildren(option("own", "These runs", state.space === "own"), ...kinds.map((kind) => make("optgroup", { label: kind },
      ...data.spaces.filter((each) => each.kind === kind).map((each) => option(each.key, each.label, each.key === state.space)))));
    const groups = [...new Set(data.runs.group.filter((group) => group !== null))].sort();
    $("group-label").hidden = groups.length < 2;
    $("group").replaceChildren(option("all", "All together", state.group === null), ...groups.map((group, k) => option(`group ${k}`, group, group === state.group)));
    $("group").onchange = () => change({ group: $("group").value === "all" ? null : groups[Number($("group").value.slice(6))] });
    $("colour-label").hidden = !data.facets.length;
    $("colour").replaceChildren(option("", "Nothing", state.colour === ""), ...data.facets.map((facet) => option(facet.name, facet.name, facet.name === state.colour)));
  }

  let waiting = 0;
  function later(...tasks) {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => tasks.forEach((task) => task()), 30);
  }

  function drawAll() {
    evaluate();
    drawHeadline();
    drawProfile();
    drawTable();
    drawCompare();
    drawFindings();
    later(drawCurves, drawCosts);
  }

  // Draws all anew. After a choice the pictures and the table begin anew as well, unless `changes` says where.
  function change(changes) {
    const began = performance.now();
    const focused = document.activeElement;
    Object.assign(state, { zoom: null, page: 0 }, changes);
    const space = spaceNow();
    if (!measured(state.resource) || (space && !(state.resource in space.ranges))) {
      const usable = data.resources.find(({ letter }) => measured(letter) && (!space || letter in space.ranges));
      if (usable) Object.assign(state, { resource: usable.letter, zoom: null });
    }
    drawControls();
    if (focused && focused.name === "resource") {
      const radio = document.querySelector(`#resources input[value="${state.resource}"]`);
      if (radio) radio.focus();
    }
    drawAll();
    // When it has been painted: what the benchmark reads.
    window.requestAnimationFrame(() => window.setTimeout(() => { document.documentElement.dataset.switched = String(performance.now() - began); }, 0));
  }

  // What nobody has chosen: of one run alone, its own space and its details.
  const untouched = { space: true, pins: true };
  function settle() {
    const alone = data.runs.key.length === 1;
    const given = data.spaces.find((space) => space.kind === "Given");
    const recorded = data.spaces.find((space) => space.kind === "Recorded");
    if (untouched.space) state.space = given ? given.key : alone && recorded ? recorded.key : "own";
    else if (spaceNow() === null) state.space = "own";
    if (untouched.pins) state.pins = alone ? [data.runs.key[0]] : [];
  }

  function choose() {
    const first = data.resources.find(({ letter }) => measured(letter));
    state.resource = first ? first.letter : "E";
    settle();
    const space = spaceNow();
    if (space && !(state.resource in space.ranges)) {
      const usable = data.resources.find(({ letter }) => measured(letter) && letter in space.ranges);
      if (usable) state.resource = usable.letter;
      else state.space = "own";
    }
    const groups = [...new Set(data.runs.group.filter((group) => group !== null))].sort();
    if (data.grouped && groups.length) [state.group] = groups;
    const facet = data.facets.find((each) => each.name === "type") || data.facets[0];
    state.colour = facet ? facet.name : "";
  }

  // A study that runs ------------------------------------------------------------------------------------------------

  // What was chosen stays chosen, and the page and the zoom with it, as long as it is the same that is drawn.
  function renew(news) {
    const [before, { space }] = [data.runs.key.length, state];
    data = news;
    if (before) settle();
    else choose();
    if (state.colour && !data.facets.some((facet) => facet.name === state.colour)) state.colour = "";
    drawProvenance();
    change({ page: state.page, zoom: state.space === space ? state.zoom : null });
  }

  function follow() {
    let tag = data.tag;
    let updated = "";
    const tell = (text) => { if ($("live").textContent !== text) $("live").textContent = text; }; // else it is read out again
    const look = async () => {
      let answer = null;
      let news = null;
      try {
        answer = await fetch("data.json", { headers: { "If-None-Match": tag }, cache: "no-store" });
        if (answer.status === 200) news = await answer.json(); // the rest of what was fetched
      } catch {
        answer = null;
      }
      window.setTimeout(look, 2000);
      if (news !== null) {
        tag = answer.headers.get("ETag");
        renew(news);
        updated = `Updated ${new Date().toLocaleTimeString()}.`;
      }
      tell(answer === null ? "The server does not answer; this is what it last said." : updated);
    };
    window.setTimeout(look, 2000);
  }

  choose();
  applyTheme();
  $("theme").addEventListener("click", () => {
    chosenTheme = themeNow() === "dark" ? "light" : "dark";
    applyTheme();
    drawAll();
  });
  media.addEventListener("change", () => { applyTheme(); drawAll(); });
  $("space").addEventListener("change", () => {
    untouched.space = false;
    change({ space: $("space").value });
  });
  $("colour").addEventListener("change", () => { state.colour = $("colour").value; drawProfile(); });
  $("front").addEventListener("change", () => { state.front = $("front").checked; drawProfile(); });
  $("intervals").addEventListener("change", () => { state.intervals = $("intervals").checked; drawProfile(); });
  let typing = 0;
  $("search").addEventListener("input", () => {
    window.clearTimeout(typing);
    typing = window.setTimeout(() => {
      Object.assign(state, { search: $("search").value, page: 0 });
      evaluate();
      drawTable();
      drawProfile();
    }, 120);
  });
  for (const [id, step] of [["previous", -1], ["next", 1]]) {
    $(id).addEventListener("click", () => { state.page += step; drawTable(); });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") $("tip").hidden = true; });
  drawProvenance();
  drawControls();
  drawAll();
  listenToProfile();
  if (data.live) follow();
  window.requestAnimationFrame(() => window.setTimeout(() => { document.documentElement.dataset.ready = String(performance.now()); }, 0));
})();
