"use strict";
// Performance against normalised cost: a dot a run, the front, and lines along which the score is the same.
const Profile = (() => {
  const MOST_DRAWN = 700; // dots; of those that lie on others some are left out
  const MOST_WITH_INTERVALS = 150;
  const { page, state, $, plain, whole, amount, word, pinned, letterOfPin, pin, evaluationsOf, bestBy, spaceNow } = Model;
  const { colours, faded, layout, config, narrow } = Charts;

  function windowOf(known) {
    let [low, high, right] = [1, 0, 1];
    for (const i of known) {
      low = Math.min(low, page.data.runs.p[i]);
      high = Math.max(high, page.data.runs.p[i]);
      right = Math.max(right, page.view.of.get(i).r);
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
    const base = page.data.baseline || 0;
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

  // Where in the picture, in pixels, runs are.
  function placing({ x: [left, right], y: [bottom, top] }) {
    const { data: { runs: { p } }, view: { of } } = page;
    const [wide, high] = [Math.max(200, $("profile").clientWidth - 110), Math.max(120, $("profile").clientHeight - 90)];
    const inside = (i) => of.get(i).r >= left && of.get(i).r <= right && p[i] >= bottom && p[i] <= top;
    return { wide, high, inside, at: (i) => [(of.get(i).r - left) / (right - left) * wide, (top - p[i]) / (top - bottom) * high] };
  }

  // The dots to draw: of those that lie on others one, and all that are to be kept.
  function thin(points, { inside, at }, keep) {
    const there = points.filter(inside);
    if (there.length <= MOST_DRAWN) return there;
    const first = [...there.filter((i) => keep.has(i)), ...there.filter((i) => !keep.has(i))];
    for (let cell = 5; ; cell += 2) {
      const taken = new Set();
      const drawn = first.filter((i) => {
        const [column, row] = at(i).map((pixel) => Math.floor(pixel / cell));
        const free = !taken.has(column * 10000 + row);
        taken.add(column * 10000 + row);
        return free || keep.has(i);
      });
      if (drawn.length <= MOST_DRAWN || cell > 40) return drawn;
    }
  }

  // The bars of dots: how far P may be off, and R by the error of the cost.
  function errorsOf(points) {
    const { runs } = page.data;
    const style = { type: "data", symmetric: false, thickness: 1, width: 0, color: faded(colours().ink, 0.35) };
    const [found, p] = [points.map((i) => page.view.of.get(i)), (limits) => points.map((i) => Math.abs(limits[i] - runs.p[i]))];
    return {
      error_x: { ...style, array: found.map((each) => each.right), arrayminus: found.map((each) => each.left) },
      error_y: { ...style, array: p(runs.pHigh), arrayminus: p(runs.pLow) },
    };
  }

  // Where, of some places around a dot, a label covers the fewest dots and no other label; in pixels from the dot.
  function freePlace(i, drawn, { wide, high, at }, boxes, width, height) {
    const [x, y] = at(i);
    const dots = drawn.map(at);
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

  function drawProfile() {
    const theme = colours();
    const { data, view, data: { runs }, view: { known } } = page;
    const letter = state.resource;
    const home = windowOf(known);
    const frame = state.zoom || home;
    const pins = pinned().filter((i) => view.of.has(i));
    const best = bestBy(known, (i) => runs.p[i]);
    const pick = known.length ? view.order[0] : null;
    const keep = new Set([...pins, ...view.front, best, pick, ...(view.matches && view.matches.size <= 200 ? view.matches : [])]);
    const places = placing(frame);
    const drawn = thin(known, places, keep);
    const largest = known.reduce((most, i) => Math.max(most, runs.cost.N[i] || 0), 1);
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
      if (bars) Object.assign(trace, errorsOf(points));
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
    const paths = pins.filter((i) => data.curves[i] && data.curves[i].p.length > 1 && data.curves[i][letter] && data.scores.points.includes(i));
    for (const i of paths) {
      traces.unshift({ type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, line: { color: faded(theme.ink, 0.6), width: 1 }, x: evaluationsOf(i).r, y: data.curves[i].p });
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
    const boxes = pins.map((i) => {
      const [[x, y], half] = [places.at(i), size(i) / 2];
      return [x - 14 - half, x + 14 + half, y - 34 - half, y + 8 + half]; // what the letter of a pin covers
    });
    for (const [i, [words, colour]] of named) {
      if (!places.inside(i)) continue;
      const title = plain(runs.model[i], narrow() ? 20 : 32);
      const { ax, ay } = freePlace(i, drawn, places, boxes, 7 * Math.max(title.length, words.length) + 10, 38);
      annotations.push({
        x: view.of.get(i).r, y: runs.p[i], ax, ay, text: `<b>${title}</b><br>${words}`, align: "left", showarrow: true,
        arrowcolor: theme.ink, arrowwidth: 1, arrowhead: 0, standoff: size(i) / 2 + 2, bgcolor: faded(theme.background, 0.85),
        bordercolor: colour, borderwidth: 2, borderpad: 3, font: { size: 12, color: theme.ink },
      });
    }
    const [low, high] = view.group ? view.group.range : [0, 0];
    const ends = view.group ? ` (0 is ${amount(letter, low)}, 1 is ${amount(letter, high)})` : "";
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
    if (lost) about.push(`${lost} of ${view.members.length} runs have no ${spaceNow() === null || letter in spaceNow().ranges ? word(letter) : "range in this space"} or no P, and are not drawn.`);
    if (state.intervals && known.length > MOST_WITH_INTERVALS) about.push("Intervals are drawn for pinned runs only.");
    if (paths.length) about.push("The thin lines are the epochs of the pinned runs.");
    $("profile-about").textContent = about.join(" ");
    const hidden = known.length - drawn.length;
    $("thinned").hidden = hidden <= 0 || state.zoom !== null;
    $("thinned").textContent = `${whole(drawn.length)} of ${whole(known.length)} dots are drawn; the others lie on them. Zoom in to see them.`;
  }

  function listen() {
    const chart = $("profile");
    chart.on("plotly_click", (event) => {
      const point = event.points.find((each) => each.customdata !== undefined);
      if (point) pin(point.customdata);
    });
    chart.on("plotly_hover", (event) => {
      const point = event.points.find((each) => each.customdata !== undefined);
      if (point) Tables.showTip(point.customdata, event.event);
    });
    chart.on("plotly_unhover", () => { $("tip").hidden = true; });
    chart.on("plotly_doubleclick", () => {
      state.zoom = null;
      window.setTimeout(drawProfile, 0);
    });
    chart.on("plotly_relayout", (change) => {
      if (!("xaxis.range[0]" in change || "yaxis.range[0]" in change)) return;
      const { xaxis, yaxis } = chart._fullLayout;
      const home = windowOf(page.view.known);
      const zoom = { x: [...xaxis.range], y: [...yaxis.range] };
      const same = ["x", "y"].every((key) => zoom[key].every((end, k) => Math.abs(end - home[key][k]) < 1e-9));
      state.zoom = same ? null : zoom;
      window.setTimeout(drawProfile, 0);
    });
  }

  return { draw: drawProfile, listen };
})();
