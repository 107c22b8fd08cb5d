"use strict";
// Scores, intervals, ranks and fronts of the runs on the page, in any space, as `lightning_pepr.rank` gives them.
// It is here a second time so that a switch of the resource or of the space needs no computer but the reader's;
// tests/report/test_browser.py holds the two against each other.
const Scores = (() => {
  const METERED = { E: true, C: true }; // what has an error, and shares the gain of a board's sensor

  function normalize(cost, range) {
    const [low, high] = range;
    return high > low ? Math.max(0, (cost - low) / (high - low)) : 0;
  }

  function gained(p, baseline) {
    const clipped = Math.min(1, Math.max(0, p));
    return baseline === null ? clipped : Math.max(0, (clipped - baseline) / (1 - baseline));
  }

  // The least and the most that any of some runs has spent; null if none was measured.
  function rangeOf(runs, members, letter) {
    let low = Infinity;
    let high = -Infinity;
    for (const i of members) {
      const cost = runs.cost[letter][i];
      if (cost === null) continue;
      if (cost < low) low = cost;
      if (cost > high) high = cost;
    }
    return low > high ? null : [low, high];
  }

  // How many of some sorted numbers are at most so large.
  function countUpTo(sorted, value) {
    let from = 0;
    let to = sorted.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (sorted[middle] <= value) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  const mean = (values) => {
    let sum = 0;
    for (const value of values) sum += value;
    return Math.min(Math.max(sum / values.length, Math.min(...values)), Math.max(...values));
  };

  function deviation(values) {
    if (values.every((value) => value === values[0])) return 0;
    const middle = values.reduce((a, b) => a + b, 0) / values.length;
    return Math.sqrt(values.reduce((a, b) => a + (b - middle) ** 2, 0) / (values.length - 1));
  }

  // For each model its mean score, its interval, and the places that the intervals leave open.
  function place(data, known, letter, score, baseline) {
    const { runs } = data;
    const boards = new Set(known.map((i) => runs.boards[i]));
    const gains = METERED[letter] && known.some((i) => runs.gain[i] !== null) && boards.size > 1;
    const models = new Map();
    for (const i of known) {
      if (!models.has(runs.same[i])) models.set(runs.same[i], []);
      models.get(runs.same[i]).push(i);
    }
    const placed = [];
    for (const [id, members] of models) {
      const one = members.length === 1;
      const scores = members.map((i) => score(runs.cost[letter][i], runs.p[i]));
      const half = one ? 0 : data.student[members.length] * deviation(scores);
      const on = new Set(members.map((i) => runs.boards[i]));
      const model = { id, mean: mean(scores), boards: on.size === 1 ? runs.boards[members[0]] : `apart ${id}` };
      for (const suffix of gains ? ["", "Apart"] : [""]) {
        const ends = members.map((i) => {
          const cost = runs.cost[letter][i];
          let error = METERED[letter] ? runs.error[letter][i] || 0 : 0;
          if (suffix) error += (runs.gain[i] || 0) * cost;
          const dearer = cost + error;
          const cheaper = Math.max(0, cost - error);
          const p = Math.min(1, Math.max(0, runs.p[i]));
          return [score(dearer, p), score(dearer, runs.pLow[i]), score(cheaper, p), score(cheaper, runs.pHigh[i])];
        });
        const [less, least, more, most] = [0, 1, 2, 3].map((k) => mean(ends.map((end) => end[k])));
        model[`low${suffix}`] = Math.min(model.mean, Math.max(0, less - Math.hypot(half, less - least)));
        model[`high${suffix}`] = Math.max(model.mean, Math.min(1, more + Math.hypot(half, most - more)));
      }
      placed.push(model);
    }
    const groups = new Map();
    for (const model of placed) {
      if (!groups.has(model.boards)) groups.set(model.boards, []);
      groups.get(model.boards).push(model);
    }
    const sorted = (of, key) => Float64Array.from(of, (model) => model[key]).sort();
    const counter = (of, suffix) => {
      const lows = sorted(of, `low${suffix}`);
      const highs = sorted(of, `high${suffix}`);
      return (model) => [
        of.length - countUpTo(lows, model[`high${suffix}`]), // wholly above
        of.length - countUpTo(highs, model[`low${suffix}`]), // reach above its lower end
      ];
    };
    const everywhere = counter(placed, gains ? "Apart" : "");
    const beside = new Map();
    if (gains) {
      for (const [key, of] of groups) beside.set(key, [counter(of, "Apart"), counter(of, "")]);
    }
    const result = new Map();
    for (const model of placed) {
      let [above, reach] = everywhere(model);
      if (gains) {
        const [apart, together] = beside.get(model.boards).map((count) => count(model));
        above += together[0] - apart[0];
        reach += together[1] - apart[1];
      }
      const shown = gains ? "Apart" : "";
      result.set(model.id, {
        mean: model.mean,
        low: model[`low${shown}`],
        high: model[`high${shown}`],
        rank: 1 + above,
        worst: 1 + reach - (model.high > model.low ? 1 : 0),
      });
    }
    return result;
  }

  // The runs that no other beats: as good for as much or less, and better in one of both.
  function front(runs, known, letter) {
    const cost = runs.cost[letter];
    const order = [...known].sort((a, b) => cost[a] - cost[b] || runs.p[b] - runs.p[a]);
    const on = new Set();
    let best = -Infinity;
    let last = -1;
    for (const i of order) {
      const equal = last >= 0 && cost[i] === cost[last] && runs.p[i] === runs.p[last];
      if (runs.p[i] > best || (equal && on.has(last))) on.add(i);
      best = Math.max(best, runs.p[i]);
      last = i;
    }
    return on;
  }

  // All that depends on the resource and the space, for some runs: maps by run.
  function evaluate(data, members, letter, range, baseline) {
    const { runs } = data;
    const known = range === null ? [] : members.filter((i) => runs.p[i] !== null && runs.cost[letter][i] !== null);
    const score = (cost, p) => gained(p, baseline) / (1 + normalize(cost, range));
    const models = place(data, known, letter, score, baseline);
    const of = new Map();
    for (const i of known) {
      const cost = runs.cost[letter][i];
      of.set(i, { r: normalize(cost, range), score: score(cost, runs.p[i]), ...models.get(runs.same[i]) });
    }
    const order = [...known].sort((a, b) => {
      const [x, y] = [of.get(a), of.get(b)];
      return x.rank - y.rank || y.mean - x.mean || runs.same[a] - runs.same[b] || a - b;
    });
    const others = members.filter((i) => !of.has(i));
    return { of, order: order.concat(others), known, front: front(runs, known, letter), range };
  }

  return { evaluate, rangeOf, normalize, gained };
})();
