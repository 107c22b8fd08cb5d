"use strict";
// What the page knows: its data, what is chosen, the numbers of that choice, and how numbers and runs are written.
const Model = (() => {
  const MOST_SHOWN = 6; // runs in curves and bars, where none is pinned

  // `changed` draws anew what depends on the pins; the controls set it.
  const page = { data: null, view: null, changed: () => {} };
  const state = {
    resource: "", space: "own", group: null, colour: "", search: "", sort: { key: "rank", down: false },
    page: 0, pins: [], front: true, intervals: true, zoom: null,
  };
  const untouched = { space: true, pins: true }; // what nobody has chosen

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

  // Names may be written from right to left; that must not turn what is beside them. Where there is only plain text,
  // they are shown without the characters that turn, or are not seen.
  const name = (text) => make("bdi", {}, text);
  const tidy = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g, " "); // eslint-disable-line no-control-regex
  const model = (i) => tidy(page.data.runs.model[i]);

  // Plotly reads some tags in its texts.
  const plain = (text, most = 42) => {
    const whole = tidy(text).replace(/\s+/g, " ");
    const short = whole.length > most ? `${whole.slice(0, most - 1)}…` : whole;
    return short.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\$/g, "&#36;");
  };

  // Numbers in words -------------------------------------------------------------------------------------------------

  const whole = (value) => value.toLocaleString("en-GB", { maximumFractionDigits: 0 });
  const number = (value) => (value === 0 ? "0" : Math.abs(value) >= 100 ? whole(value) : value.toLocaleString("en-GB", { maximumSignificantDigits: 3 }));
  const count = (many, one) => `${whole(many)} ${one}${many === 1 ? "" : "s"}`;

  // Three decimals, ties to the even one as Python has them.
  function decimal(value) {
    if (value === null || value === undefined) return "–";
    const tie = Number.isInteger(value * 16) && value * 16 % 2 !== 0;
    return (tie ? 2 * Math.round(value * 500) / 1000 : value).toFixed(3);
  }

  function percent(share) {
    const value = share * 100;
    const near = Math.abs(value - 100) < 0.05 && Math.abs(value - 100) > 1e-9; // not to call 99.98 % all
    const digits = near ? 2 : value < 1 ? 2 : value < 10 || (value >= 90 && value < 1000) ? 1 : 0;
    return `${value.toFixed(digits)}\u00a0%`;
  }

  const between = (low, high) => (low === high ? String(low) : `${low}–${high}`);
  const resourceOf = (letter) => page.data.resources.find((resource) => resource.letter === letter);
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

  // Scores, as Python packed them ------------------------------------------------------------------------------------

  const score = (packed) => (packed === 65535 ? null : (packed - 24.5) / 50000); // within the thousandth that it is

  const ratio = (column, k) => (column instanceof Uint16Array ? score(column[k]) : column[k]); // small ones are packed so

  const unpacked = new WeakMap();
  function unpack(place) {
    const column = page.data.scores.arrays[place];
    if (!unpacked.has(column)) unpacked.set(column, read(...column));
    return unpacked.get(column);
  }

  function read(type, text) {
    const { buffer } = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    return new { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array }[type](buffer);
  }

  // The runs in the chosen group; of those that have a score by the chosen resource in the chosen space the numbers
  // (`of`), and all in the order of their ranks; the front; the range of the space, and who is first (`group`).
  function evaluate() {
    const { runs, scores } = page.data;
    const members = all().filter((i) => state.group === null || runs.group[i] === state.group);
    const within = state.group === null || scores.apart === null ? scores.all : scores.apart;
    const packed = (within[state.space] || {})[state.resource];
    const of = new Map();
    const front = new Set();
    let order = [];
    if (packed) {
      const column = Object.fromEntries(Object.entries(packed).filter(([key]) => !["groups", "path", "curve"].includes(key)).map(([key, place]) => [key, unpack(place)]));
      const here = new Set(members);
      order = Array.from(column.order).filter((i) => here.has(i));
      column.order.slice().sort().forEach((i, k) => {
        if (!here.has(i)) return;
        of.set(i, {
          r: ratio(column.r, k), rank: column.rank[k], worst: column.worst[k], score: score(column.score[k]), low: score(column.low[k]), high: score(column.high[k]),
          left: column.left ? column.left[k] : 0, right: column.right ? column.right[k] : 0,
        });
        if (column.front[k]) front.add(i);
      });
    }
    const group = packed && order.length ? packed.groups.find((each) => within === scores.all || each.group === state.group) : null;
    page.view = { of, front, members, known: members.filter((i) => of.has(i)), order: order.concat(members.filter((i) => !of.has(i))), group, packed, matches: matching(members) };
  }

  // R and the score of each evaluation of a run; null where they are not known.
  function evaluationsOf(i) {
    const { data, view: { packed } } = page;
    const length = data.curves[i].p.length;
    const at = data.scores.points.indexOf(i);
    if (at < 0 || !packed) return { r: Array(length).fill(null), scores: Array(length).fill(null) };
    const from = data.scores.points.slice(0, at).reduce((sum, run) => sum + data.curves[run].p.length, 0);
    return { r: unpack(packed.path).slice(from, from + length), scores: Array.from(unpack(packed.curve).slice(from, from + length), score) };
  }

  // What is shown ----------------------------------------------------------------------------------------------------

  const all = () => page.data.runs.model.map((_, index) => index);
  const measured = (letter) => page.data.runs.cost[letter].some((cost) => cost !== null);
  const spaceNow = () => page.data.spaces.find((space) => space.key === state.space) || null;
  const usable = (letter) => measured(letter) && (spaceNow() === null || letter in spaceNow().ranges);

  function matching(members) {
    const { runs, facets } = page.data;
    const wanted = state.search.trim().toLowerCase();
    if (!wanted) return null;
    const texts = (i) => [runs.model[i], runs.group[i] || "", ...facets.map((facet) => facet.categories[facet.of[i]] || "")];
    return new Set(members.filter((i) => texts(i).some((text) => text.toLowerCase().includes(wanted))));
  }

  const pinned = () => state.pins.map((key) => page.data.runs.key.indexOf(key)).filter((i) => i >= 0);
  const letterOfPin = (i) => ["A", "B"][pinned().indexOf(i)] || "";

  function pin(i) {
    const key = page.data.runs.key[i];
    untouched.pins = false;
    if (state.pins.includes(key)) state.pins = state.pins.filter((other) => other !== key);
    else state.pins = [...state.pins, key].slice(-2);
    page.changed();
  }

  function shownRuns(has) {
    const chosen = pinned().filter(has);
    return chosen.length ? chosen : page.view.order.filter(has).slice(0, MOST_SHOWN);
  }

  // A run by its model and by what it differs in from others of that model: its group, a setting or, at last, its identifier.
  function label(i) {
    const { facets, runs: { group, key, model: models } } = page.data;
    const alike = all().filter((other) => other !== i && models[other] === models[i]);
    const elsewhere = alike.some((other) => group[other] !== group[i]);
    const words = elsewhere && group[i] !== null ? [group[i]] : [];
    const rivals = words.length ? alike.filter((other) => group[other] === group[i]) : alike;
    if (rivals.length) {
      const facet = facets.find(({ of }) => of[i] !== null && rivals.every((other) => of[other] !== of[i]));
      words.push(facet ? `${facet.name} ${facet.categories[facet.of[i]]}` : key[i].slice(0, 8));
    }
    return `${letterOfPin(i) ? `${letterOfPin(i)}: ` : ""}${model(i)}${words.length ? ` (${words.join(", ")})` : ""}`;
  }

  const bestBy = (known, value) => known.reduce((best, i) => (best === null || value(i) > value(best) ? i : best), null);

  // What is chosen before anybody chooses: of one run alone, its own space and its details.
  function settle() {
    const { runs, spaces } = page.data;
    const alone = runs.key.length === 1;
    const first = (kind) => (spaces.find((space) => space.kind === kind) || { key: "own" }).key;
    if (untouched.space) state.space = first("Given") !== "own" ? first("Given") : alone ? first("Recorded") : "own";
    else if (spaceNow() === null) state.space = "own";
    if (untouched.pins) state.pins = alone ? [runs.key[0]] : [];
  }

  function choose() {
    const { data } = page;
    settle();
    const letters = data.resources.map(({ letter }) => letter).filter(measured);
    if (letters.length && !letters.some(usable)) state.space = "own";
    state.resource = letters.find(usable) || "E";
    if (data.grouped && data.groups.length) [state.group] = data.groups;
    const facet = data.facets.find((each) => each.name === "type") || data.facets[0];
    state.colour = facet ? facet.name : "";
  }

  return {
    page, state, untouched, $, make, name, tidy, model, plain, whole, number, count, decimal, percent, between, resourceOf, word, scaleOf, amount,
    evaluate, evaluationsOf, all, measured, spaceNow, usable, pinned, letterOfPin, pin, shownRuns, label, bestBy, settle, choose,
  };
})();
