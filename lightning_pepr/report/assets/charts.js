"use strict";
// Colours and layout of all pictures; the curves over the epochs, and the bars of energies.
const Charts = (() => {
  const { page, state, $, make, plain, decimal, word, scaleOf, amount, all, pinned, shownRuns, label, evaluationsOf } = Model;
  const KWH = 3.6e12; // microjoules
  const STAGES = ["train", "validate", "other", "metering", "test"];
  const PATTERNS = ["", "/", ".", "x", "-", "+"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

  const media = window.matchMedia("(prefers-color-scheme: dark)");
  let chosenTheme = null;
  const themeNow = () => chosenTheme || (media.matches ? "dark" : "light");
  const colours = () => page.data.themes[themeNow()];
  const faded = (hex, alpha) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${alpha})`;
  const narrow = () => document.documentElement.clientWidth < 600;

  function applyTheme() {
    document.documentElement.dataset.theme = themeNow();
    $("theme").textContent = themeNow() === "dark" ? "Light colours" : "Dark colours";
  }

  // Draws anew when the system changes its colours, or somebody presses the button.
  function listenToTheme(draw) {
    $("theme").addEventListener("click", () => { chosenTheme = themeNow() === "dark" ? "light" : "dark"; draw(); });
    media.addEventListener("change", draw);
  }

  function layout(more) {
    const theme = colours();
    const axis = { gridcolor: faded(theme.line, 0.5), linecolor: theme.line, zeroline: false, tickcolor: theme.line, automargin: true };
    const axes = Object.fromEntries(Object.entries({ xaxis: {}, yaxis: {}, ...more }).filter(([key]) => /^[xy]axis/.test(key)).map(([key, each]) => [key, { ...axis, ...each }]));
    return {
      paper_bgcolor: theme.background, plot_bgcolor: theme.background,
      font: { color: theme.ink, family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 13 },
      margin: { l: 56, r: 24, t: 24, b: 48 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)" },
      hoverlabel: { bgcolor: theme.background, bordercolor: theme.ink, font: { color: theme.ink } },
      ...more, ...axes,
    };
  }

  const config = () => ({
    displaylogo: false, responsive: true, displayModeBar: narrow() ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], // none that sends the data anywhere
  });

  // Over the epochs --------------------------------------------------------------------------------------------------

  function numbers(into, title, head, rows) {
    const table = make("table", {}, make("caption", { class: "unseen" }, title),
      make("thead", {}, make("tr", {}, ...head.map((text, k) => make("th", { scope: "col", class: k ? "number" : null }, text)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell, k) => (k ? make("td", { class: "number" }, cell) : make("th", { scope: "row" }, cell)))))));
    const open = $(into).querySelector("details[open]") !== null;
    $(into).replaceChildren(make("details", { open }, make("summary", {}, "The numbers"), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, table)));
  }

  const whose = (has, runs) => (pinned().some(has) ? "The pinned runs." : `The first ${runs.length} by rank; pin runs to see theirs.`);

  function drawCurves() {
    const { data } = page;
    const letter = state.resource;
    const has = (i) => data.curves[i] !== null;
    const runs = shownRuns(has);
    $("curves-section").hidden = !all().some(has);
    if ($("curves-section").hidden) return;
    const theme = colours();
    const traces = [];
    const rows = [];
    let scored = 0;
    runs.forEach((i, k) => {
      const name = label(i);
      const curve = data.curves[i];
      const costs = curve[letter] || curve.p.map(() => (letter === "N" ? data.runs.cost.N[i] : null));
      const { scores } = evaluationsOf(i);
      scored += data.scores.points.includes(i);
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
    const about = [whose(has, runs), "PePR falls as soon as an epoch gains less than it costs, so its peak is early by design."];
    if (runs.some((i) => data.curves[i].of)) about.push("Of long runs some epochs are left out.");
    if (scored < runs.length) about.push("Of so many runs, only the best have PePR over the epochs here.");
    $("curves-about").textContent = about.join(" ");
    numbers("curves-data", "Performance, PePR and cost at each evaluation", ["Run", "Epoch", "P", `PePR-${letter}`, word(letter)], rows.slice(0, 400));
  }

  // Where the energy went --------------------------------------------------------------------------------------------

  function bars(into, runs, series) {
    const theme = colours();
    const largest = Math.max(...runs.map((i) => series.reduce((sum, each) => sum + (each.of(i) || 0), 0))) / KWH;
    const [scale, unit] = scaleOf("E", largest);
    const traces = series.map((each) => ({
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
    const { data } = page;
    const has = (i) => data.stages[i] !== null && Object.values(data.stages[i]).some((energy) => energy !== null);
    $("costs-section").hidden = !all().some(has);
    if ($("costs-section").hidden) return;
    const runs = shownRuns(has);
    $("costs-about").textContent = `${whose(has, runs)} Train, validate, other and metering (what the callback itself takes) make up what a run cost; test comes on top.`;
    bars("stages", runs, STAGES.filter((stage) => runs.some((i) => stage in data.stages[i])).map((stage) => ({
      name: stage, colour: STAGES.indexOf(stage), of: (i) => data.stages[i][stage] ?? null,
    })));
    const kindOf = ([key, title]) => `${key.includes("gpu:") ? "GPU" : key.includes("cpu:") ? "CPU" : "Device"}${title && title !== key ? `: ${title}` : ""}`;
    const kinds = [...new Set(runs.flatMap((i) => data.devices[i].map(kindOf)))].sort();
    bars("devices", runs, kinds.map((kind, k) => ({
      name: kind, colour: k,
      of: (i) => data.devices[i].filter((device) => kindOf(device) === kind && device[2] !== null).reduce((sum, [, , energy]) => sum + energy, null),
    })));
  }

  return { colours, faded, layout, config, narrow, applyTheme, listenToTheme, drawCurves, drawCosts };
})();
