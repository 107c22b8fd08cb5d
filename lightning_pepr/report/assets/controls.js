"use strict";
// What one can choose, the sentence on top, and the report of a study that is followed.
const Controls = (() => {
  const { page, state, untouched, $, make, model, count, decimal, percent, word, amount } = Model;
  const { evaluate, measured, spaceNow, usable, settle, choose } = Model;
  const { drawCompare, drawTable, drawFindings, drawProvenance } = Tables;
  const { applyTheme, drawCurves, drawCosts } = Charts;

  function headline() {
    const { known, order, of, group } = page.view;
    const letter = state.resource;
    const space = spaceNow();
    if (!known.length) return space && !(letter in space.ranges) ? `This space has no ${word(letter)}; choose another resource or space.` : `No run here has both a performance and a measured ${word(letter)}.`;
    const { worst, rank } = of.get(order[0]);
    const [pick, best] = [model(group.run), model(group.run_best)];
    const [p, score] = [decimal(group.performance), decimal(group.score)];
    const open = worst > rank ? ` As far as the errors tell, ${count(worst - rank, "other")} may score higher.` : "";
    const flat = group.range[0] === group.range[1] ? ` All have cost the same ${word(letter)} in this space, so R is 0 and PePR is P.` : "";
    if (known.length === 1) return `${pick} reaches P = ${p} for ${amount(letter, group.cost)}: PePR-${letter} is ${score}.${flat}`;
    if (group.run === group.run_best) return `${pick} has the best PePR-${letter} (${score}) and the best P (${p}).${open}${flat}`;
    const share = group.cost_best > 0 ? ` at ${percent(group.cost / group.cost_best)} of its ${word(letter)}` : "";
    return `${pick} has the best PePR-${letter} (${score}): it keeps ${percent(group.performance / group.performance_best)} of the performance of ${best}, the best by P (${decimal(group.performance_best)})${share}.${open}${flat}`;
  }

  function drawHeadline() {
    const { members, group } = page.view;
    const [letter, space] = [state.resource, spaceNow()];
    $("headline").textContent = headline();
    $("subtitle").textContent = `${count(members.length, "run")} of ${count(new Set(members.map((i) => page.data.runs.same[i])).size, "model")}`;
    const ends = group ? `Here R of ${word(letter)} is 0 at ${amount(letter, group.range[0])} and 1 at ${amount(letter, group.range[1])}. ` : "";
    $("space-about").textContent = ends + (space ? `The space: ${space.about}` : "The space is that of the runs shown: R is 0 at the cheapest and 1 at the most expensive, so that scores change when runs are added.");
  }

  function drawControls() {
    const { data: { resources, spaces, groups, facets } } = page;
    $("resources").replaceChildren(make("legend", {}, "Resource"), ...resources.map(({ letter, name: title }) => {
      const why = usable(letter) ? null : measured(letter) ? "Not in this space" : "No run has measured it";
      return make("label", { title: why }, make("input", { type: "radio", name: "resource", value: letter, checked: letter === state.resource, disabled: Boolean(why),
        on: { change: () => change({ resource: letter }) } }), make("span", {}, title[0].toUpperCase() + title.slice(1)));
    }));
    const option = (value, text, chosen) => make("option", { value, selected: chosen }, text);
    const kinds = [...new Set(spaces.map((each) => each.kind))];
    $("space").replaceChildren(option("own", "These runs", state.space === "own"), ...kinds.map((kind) => make("optgroup", { label: kind },
      ...spaces.filter((each) => each.kind === kind).map((each) => option(each.key, each.label, each.key === state.space)))));
    $("group-label").hidden = groups.length < 2;
    $("group").replaceChildren(option("all", "All together", state.group === null), ...groups.map((group, k) => option(k, group, group === state.group)));
    $("colour-label").hidden = !facets.length;
    $("colour").replaceChildren(option("", "Nothing", state.colour === ""), ...facets.map((facet) => option(facet.name, facet.name, facet.name === state.colour)));
  }

  let waiting = 0;
  function later(...tasks) {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => tasks.forEach((task) => task()), 30);
  }

  function drawPins() {
    Profile.draw();
    drawCompare();
    drawTable();
    later(drawCurves, drawCosts);
  }

  function drawAll() {
    applyTheme();
    evaluate();
    drawHeadline();
    drawFindings();
    drawPins();
  }

  // Draws all anew. After a choice the pictures and the table begin anew as well, unless `changes` says where.
  function change(changes) {
    const began = performance.now();
    const focused = document.activeElement;
    Object.assign(state, { zoom: null, page: 0 }, changes);
    if (!usable(state.resource)) {
      const other = page.data.resources.find(({ letter }) => usable(letter));
      if (other) Object.assign(state, { resource: other.letter, zoom: null });
    }
    drawControls();
    if (focused && focused.name === "resource") {
      const radio = document.querySelector(`#resources input[value="${state.resource}"]`);
      if (radio) radio.focus();
    }
    drawAll();
    painted("switched", began);
  }

  // Notes for the benchmark how long something took until it was painted.
  function painted(what, began) {
    window.requestAnimationFrame(() => window.setTimeout(() => { document.documentElement.dataset[what] = String(performance.now() - began); }, 0));
  }

  // What was chosen stays chosen, and the page and the zoom with it, as long as the same is drawn.
  function renew(news) {
    const [before, { space }] = [page.data.runs.key.length, state];
    page.data = news;
    if (before) settle();
    else choose();
    if (state.colour && !news.facets.some((facet) => facet.name === state.colour)) state.colour = "";
    drawProvenance();
    change({ page: state.page, zoom: state.space === space ? state.zoom : null });
  }

  function follow() {
    let { tag } = page.data;
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

  function listen() {
    let typing = 0;
    const on = (id, event, handle) => $(id).addEventListener(event, handle);
    on("space", "change", () => {
      untouched.space = false;
      change({ space: $("space").value });
    });
    on("group", "change", () => change({ group: page.data.groups[$("group").value] ?? null }));
    on("colour", "change", () => { state.colour = $("colour").value; Profile.draw(); });
    for (const id of ["front", "intervals"]) on(id, "change", () => { state[id] = $(id).checked; Profile.draw(); });
    on("search", "input", () => {
      window.clearTimeout(typing);
      typing = window.setTimeout(() => {
        Object.assign(state, { search: $("search").value, page: 0 });
        evaluate();
        drawTable();
        Profile.draw();
      }, 120);
    });
    for (const [id, step] of [["previous", -1], ["next", 1]]) on(id, "click", () => { state.page += step; drawTable(); });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") $("tip").hidden = true; });
    Charts.listenToTheme(drawAll);
    Profile.listen();
  }

  function begin(data) {
    page.data = data;
    page.changed = drawPins;
    choose();
    drawProvenance();
    drawControls();
    drawAll();
    listen();
    if (data.live) follow();
    painted("ready", 0);
  }

  return { begin };
})();
