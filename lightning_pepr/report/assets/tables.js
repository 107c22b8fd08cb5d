"use strict";
// The tables and sentences of the page: runs, the comparison of two, findings, and where it all comes from.
const Tables = (() => {
  const ROWS = 25; // of the table of runs, on a page
  const MOST_FINDINGS = 200;
  const { page, state, $, make, name, model, whole, number, count, decimal, percent, between, word, scaleOf, amount } = Model;
  const { measured, pinned, letterOfPin, pin } = Model;

  function howOf(i, letter) {
    const [quality, lost, reason] = page.data.how[i][letter] || [];
    if (!quality) return "";
    const words = { counter: letter === "E" || letter === "C" ? "energy counter" : "counted", integrated: "power, added up",
      estimated: "estimated", unavailable: "not measured" };
    return [words[quality] || quality, lost ? "a lower bound" : "", reason].filter(Boolean).join("; ");
  }

  // Every figure of a run, and how it was measured.
  function details(i) {
    const { runs } = page.data;
    const rows = [];
    const samples = runs.samples[i] ? `, on ${number(runs.samples[i])} samples` : "";
    const interval = samples ? ` (${decimal(runs.pLow[i])} to ${decimal(runs.pHigh[i])}${samples})` : "";
    rows.push(["P", `${decimal(runs.p[i])}${interval}`]);
    const found = page.view.of.get(i);
    if (found) {
      const spread = found.high > found.low ? ` (${decimal(found.low)} to ${decimal(found.high)})` : "";
      rows.push([`PePR-${state.resource}`, `${decimal(found.score)}${spread}, R = ${decimal(found.r)}, rank ${between(found.rank, found.worst)}`]);
    }
    for (const { letter } of page.data.resources) {
      const value = runs.cost[letter][i];
      const how = howOf(i, letter);
      if (value === null && !how) continue;
      const error = runs.error[letter] ? runs.error[letter][i] : null;
      const text = amount(letter, value, error);
      rows.push([word(letter), how && how !== text ? `${text} (${how})` : text]);
    }
    for (const facet of page.data.facets) {
      if (facet.of[i] !== null && facet.name !== "quality") rows.push([facet.name, facet.categories[facet.of[i]]]);
    }
    if (runs.device[i] && !page.data.facets.some((facet) => facet.name === "device")) rows.push(["device", runs.device[i]]);
    if (runs.status[i] && !page.data.facets.some((facet) => facet.name === "status")) rows.push(["status", runs.status[i]]);
    return rows;
  }

  function showTip(i, event) {
    const tip = $("tip");
    const rows = details(i).map(([key, text]) => make("tr", {}, make("td", {}, key), make("td", {}, text)));
    tip.replaceChildren(make("strong", {}, name(page.data.runs.model[i])), make("table", { role: "presentation" }, make("tbody", {}, ...rows)));
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const [x, y] = [event.clientX || 0, event.clientY || 0];
    tip.style.left = `${Math.max(4, x + 16 + width > window.innerWidth ? x - width - 16 : x + 16)}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 12, window.innerHeight - height - 8))}px`;
  }

  // Two models in a sentence -----------------------------------------------------------------------------------------

  function compare(a, b) {
    const { runs } = page.data;
    const letter = state.resource;
    const of = word(letter);
    const cost = (i) => runs.cost[letter][i];
    if (runs.p[a] === null || runs.p[b] === null) return "The performance of one of them is not known.";
    // The cheaper one is described by the more expensive one.
    const [large, small] = cost(a) !== null && cost(b) !== null && cost(a) < cost(b) ? [b, a] : [a, b];
    const titled = (i) => `${letterOfPin(i)} (${model(i)})`;
    const ratio = runs.p[large] > 0 ? runs.p[small] / runs.p[large] : NaN;
    const kept = Math.abs(ratio - 1) < 5e-5 ? `performs as ${titled(large)} does` : Number.isNaN(ratio) ? `has P = ${decimal(runs.p[small])} where that of ${titled(large)} is 0`
      : `${ratio <= 1 ? "keeps" : "reaches"} ${percent(ratio)} of ${titled(large)}’s performance`;
    const parts = [];
    if (cost(a) === null || cost(b) === null) parts.push(`${titled(small)} ${kept}; the ${of} of ${cost(a) === null && cost(b) === null ? "both" : titled(cost(a) === null ? a : b)} was not measured.`);
    else if (cost(large) === 0) parts.push(`${titled(small)} ${kept}; neither has cost any ${of}.`);
    else parts.push(`${titled(small)} ${kept} at ${percent(cost(small) / cost(large))} of its ${of}.`);
    const apart = (low, high) => low(a) > high(b) || low(b) > high(a);
    if (runs.samples[a] && runs.samples[b] && runs.p[a] !== runs.p[b]) {
      parts.push(apart((i) => runs.pLow[i], (i) => runs.pHigh[i])
        ? "The intervals of their performances do not overlap."
        : "The intervals of their performances overlap: on so few samples chance may have made the difference.");
    }
    const errors = runs.error[letter];
    if (errors && cost(a) !== null && cost(b) !== null && cost(a) !== cost(b)) {
      const within = (error) => !apart((i) => cost(i) - error(i), (i) => cost(i) + error(i));
      if (within((i) => errors[i] || 0)) parts.push(`Their ${of} differs by less than the errors of both.`);
      else if (runs.boards[a] !== runs.boards[b] && within((i) => runs.errorApart[letter][i])) parts.push(`Their ${of} differs by less than the errors of both with those of their sensors, which are on different boards.`);
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
    const head = make("tr", {}, make("td"), ...pins.map((i) => make("th", { scope: "col" }, `${letterOfPin(i)}: `, name(page.data.runs.model[i]), " ",
      make("button", { type: "button", "aria-label": `Unpin ${page.data.runs.model[i]}`, on: { click: () => pin(i) } }, "Unpin"))));
    const rows = keys.map((key) => make("tr", {}, make("th", { scope: "row" }, key), ...found.map((each) => make("td", { class: "wrap" }, each.get(key) || "–"))));
    const table = make("table", {}, make("caption", { class: "unseen" }, "The pinned runs, side by side"), make("thead", {}, head), make("tbody", {}, ...rows));
    cards.replaceChildren(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The pinned runs, side by side" }, table));
  }

  // The runs ---------------------------------------------------------------------------------------------------------

  function tableColumns() {
    const { data, view, data: { runs } } = page;
    const letter = state.resource;
    const found = (i) => view.of.get(i);
    const value = (key) => (i) => (found(i) ? found(i)[key] : null);
    const shown = (key) => ({ get: value(key), show: (i) => decimal(value(key)(i)) });
    const wide = (i) => found(i) && found(i).high > found(i).low;
    const columns = [
      { key: "rank", title: "Rank", get: value("rank"), show: (i) => (found(i) ? between(found(i).rank, found(i).worst) : "–") },
      { key: "model", title: "Model", get: (i) => runs.model[i], text: true },
    ];
    if (data.groups.length && state.group === null) columns.push({ key: "group", title: "Group", get: (i) => runs.group[i], text: true });
    for (const facet of data.facets) {
      if (!["group", "device", "quality", "status"].includes(facet.name)) columns.push({ key: `facet ${facet.name}`, title: facet.name, text: true, get: (i) => facet.categories[facet.of[i]] ?? null });
    }
    columns.push({ key: "p", title: "P", get: (i) => runs.p[i], show: (i) => decimal(runs.p[i]) });
    if (view.known.length) {
      columns.push({ key: "score", title: `PePR-${letter}`, ...shown("score") });
      if (view.known.some(wide)) columns.push({ key: "interval", title: "Interval", get: value("low"), show: (i) => (wide(i) ? `${decimal(found(i).low)}–${decimal(found(i).high)}` : "–") });
      columns.push({ key: "r", title: "R", ...shown("r") });
    }
    for (const { letter: each, name: title } of data.resources.filter((resource) => measured(resource.letter))) {
      const costs = runs.cost[each];
      const [scale, unit] = scaleOf(each, view.members.reduce((most, i) => Math.max(most, costs[i] || 0), 0));
      const head = { N: "Params", D: "Samples", C: "CO2e" }[each] || title[0].toUpperCase() + title.slice(1);
      columns.push({ key: each, title: `${head}${unit ? ` / ${unit}` : ""}`, get: (i) => costs[i], show: (i) => (costs[i] === null ? "–" : number(costs[i] / scale)) });
    }
    columns.push({ key: "front", title: "Pareto", get: (i) => (view.front.has(i) ? 1 : 0), show: (i) => (view.front.has(i) ? "yes" : ""), text: false });
    if (runs.quality.some((quality) => quality !== null)) columns.push({ key: "quality", title: "Energy is", get: (i) => runs.quality[i], text: true });
    return columns;
  }

  function drawTable() {
    const columns = tableColumns();
    const sorted = columns.find((column) => column.key === state.sort.key) || columns[0];
    let rows = page.view.order.filter((i) => page.view.matches === null || page.view.matches.has(i));
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
        make("td", {}, make("button", { type: "button", "data-run": i, "aria-pressed": letter ? "true" : "false", "aria-label": `Pin ${page.data.runs.model[i]}`, on: { click: () => pin(i) } }, letter || "Pin")),
        ...columns.map((column) => {
          const text = column.show ? column.show(i) : column.get(i) === null ? "–" : column.get(i);
          if (column.key === "model") return make("th", { scope: "row", class: "name", title: page.data.runs.model[i] }, name(text));
          return make("td", { class: column.text ? "name" : "number" }, column.text ? name(text) : text);
        }));
    }));
    if (again) {
      const target = document.querySelector(`#runs button[data-key="${CSS.escape(again)}"], #runs button[data-run="${CSS.escape(again)}"]`);
      if (target) target.focus({ preventScroll: true });
    }
    $("found").textContent = page.view.matches === null ? `${whole(rows.length)} runs` : `${whole(rows.length)} of ${whole(page.view.members.length)} runs`;
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

  // The audit, and where it all comes from ---------------------------------------------------------------------------

  let drawnFindings = null;
  function drawFindings() {
    const key = `${page.data.made} ${state.group}`; // of nothing else do they depend
    if (key === drawnFindings) return;
    drawnFindings = key;
    const found = page.data.findings.filter((finding) => state.group === null || finding.group === state.group);
    const counts = ["high", "medium", "low"].map((level) => [level, found.filter((finding) => finding.confidence === level).length]).filter(([, many]) => many);
    $("findings-about").textContent = found.length
      ? `${whole(found.length)} findings (${counts.map(([level, many]) => `${many} of ${level} confidence`).join(", ")}): costs that cannot be true, or are not what they seem.${found.length > MOST_FINDINGS ? ` The first ${MOST_FINDINGS} are shown; lightning-pepr audit gives all.` : ""}`
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
    $("provenance").replaceChildren(...Object.entries(titles).filter(([key]) => page.data.provenance[key].length).map(([key, title]) => make("div", {},
      make("h3", {}, title), ...page.data.provenance[key].map(([many, facts]) => make("details", { open: page.data.provenance[key].length === 1 },
        make("summary", {}, count(many, "run")),
        make("dl", {}, ...Object.entries(facts).flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, name(flat(value)))])))))));
    $("made").textContent = page.data.made;
    $("monitors").textContent = page.data.monitors.filter(Boolean).length ? ` Here: ${page.data.monitors.filter(Boolean).join(", ")}.` : "";
    $("baseline").textContent = page.data.baseline === null ? "" : ` P is rescaled by the baseline ${page.data.baseline}: (P − P0) / (1 − P0), not below 0; its dashed line is in the first picture.`;
    $("notes").replaceChildren(...page.data.notes.map((note) => make("p", {}, note)));
  }

  return { showTip, drawCompare, drawTable, drawFindings, drawProvenance };
})();
