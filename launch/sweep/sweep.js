"use strict";
// Draws a sweep (page.py): what is hovered in one picture is marked in all; filters hold for all.
const data = JSON.parse(document.getElementById("sweep").dataset.sweep);
const trials = data.trials, front = new Set(data.front);
const told = document.getElementById("told");
const NS = "http://www.w3.org/2000/svg";
const quantities = [...new Set(trials.flatMap((t) => Object.keys(t.quantities)))]
  .filter((name) => name !== "examples");
const numbers = ["quality", ...quantities];
const names = [...numbers, ...data.fields, "trial"];
const called = {quality: data.metric, training_cost: "training cost", core: "core time"};
const title = (name) => called[name] || name;
const byKey = {};  // id of a picture → its trials in the order in which keys go through them
const units = {};
for (const [name, unit] of Object.entries(data.units)) units[name] = unit ? ` ${unit}` : "";

function valueOf(trial, name) {
  if (name === "trial") return trial.number;
  if (name === "quality") return trial.quality;
  const value = name in trial.quantities ? trial.quantities[name] : trial.values[name];
  return value === undefined ? null : value;
}
function shown(value) {
  if (value === null || value === undefined) return "–";
  if (Array.isArray(value)) return value.join(" ");
  if (typeof value !== "number") return String(value);
  if (value && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7)) return value.toExponential(2);
  return Number.isInteger(value) ? value.toLocaleString("en") : String(+value.toPrecision(4));
}
const withUnit = (name) => title(name) + (units[name] ? `,${units[name]}` : "");
function kind(trial) {
  const marks = front.has(trial.number) ? " onfront" : "";
  return trial.state + (trial.number === data.winner ? " winner" : marks);
}

// A scale: value → place from 0 to 1, of a part of it alone where one looks closer. Of texts, and of
// what has few values, one place each.
function scale(name, rows, [from, to] = [0, 1]) {
  const inside = ([place]) => place >= 0 && place <= 1;
  const found = rows.map((t) => valueOf(t, name)).filter((v) => v !== null);
  if (found.some((v) => typeof v !== "number")) {
    const all = [...new Set(found.map(shown))].sort();
    const at = (v) => ((all.indexOf(shown(v)) + 0.5) / all.length - from) / (to - from);
    return {at, ticks: all.map((v) => [at(v), v]).filter(inside)};
  }
  if (!found.length) return {at: () => NaN, ticks: []};
  let low = Math.min(...found), high = Math.max(...found);
  const wide = low > 0 && high / low > 30 && quantities.includes(name);
  const log = data.log.includes(name) || wide;
  const way = log ? Math.log10 : (v) => v;
  let [a, b] = [way(low), way(high)];
  if (a === b) [a, b] = [a - (Math.abs(a) || 1) / 10, b + (Math.abs(b) || 1) / 10];
  const room = (b - a) * 0.05;
  [a, b] = [a - room, b + room];
  [a, b] = [a + from * (b - a), a + to * (b - a)];
  const own = [...new Set(found)];
  const few = data.fields.includes(name) && own.length <= 6;
  const at = (v) => (way(v) - a) / (b - a);
  return {at, ticks: (few ? own : steps(a, b, log)).map((v) => [at(v), shown(v)]).filter(inside)};
}
function steps(a, b, log) {
  if (log) {
    const found = [];
    for (let p = Math.floor(a); p <= b; p++) {
      for (const f of b - a > 2 ? [1] : [1, 2, 5]) found.push(f * 10 ** p);
    }
    const inside = found.filter((v) => Math.log10(v) >= a && Math.log10(v) <= b);
    if (inside.length > 1) return inside;
    return [10 ** (a + (b - a) * 0.1), 10 ** (b - (b - a) * 0.1)].map((v) => +v.toPrecision(3));
  }
  const power = 10 ** Math.floor(Math.log10((b - a) / 4));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => (b - a) / s <= 6);
  const found = [];
  for (let i = Math.ceil(a / step); i * step <= b; i++) found.push(+(i * step).toPrecision(12));
  return found;
}

function make(name, attributes, parent, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.appendChild(made);
  return made;
}
function picture(id, width, height) {
  const svg = make("svg", {class: "plot", viewBox: `0 0 ${width} ${height}`});
  document.getElementById(id).replaceChildren(svg);
  return svg;
}
// Axes; returns (x place, y place) → pixels.
function axes(svg, width, height, x, y, xName, yName) {
  const left = 58, right = width - 14, top = 22, bottom = height - 36;
  const px = (p) => left + p * (right - left), py = (p) => bottom - p * (bottom - top);
  for (const [place, text] of y.ticks) {
    make("line", {class: "axis", x1: left, x2: right, y1: py(place), y2: py(place)}, svg);
    make("text", {x: left - 6, y: py(place) + 4, "text-anchor": "end"}, svg, text);
  }
  for (const [place, text] of x.ticks) {
    make("text", {x: px(place), y: bottom + 15, "text-anchor": "middle"}, svg, text);
  }
  make("text", {x: left, y: 12}, svg, withUnit(yName));
  make("text", {x: right, y: height - 6, "text-anchor": "end"}, svg, withUnit(xName));
  return [px, py];
}
function mark(made, trial) {
  made.dataset.trial = trial.number;
  made.addEventListener("pointerenter", (event) => hover(trial, event));
  made.addEventListener("pointermove", (event) => hover(trial, event));
  made.addEventListener("pointerleave", () => hover(null));
  return made;
}
function hover(trial, event) {
  for (const each of document.querySelectorAll(".on")) each.classList.remove("on");
  told.hidden = !trial;
  if (!trial) return;
  for (const each of document.querySelectorAll(`[data-trial="${trial.number}"]`)) {
    each.classList.add("on");
  }
  const lines = [`trial ${trial.number}: ${trial.state}`];
  if (trial.reason) lines.push(trial.reason);
  for (const name of numbers) {
    const value = valueOf(trial, name);
    if (value !== null) lines.push(`${title(name)}: ${shown(value)}${units[name] || ""}`);
  }
  for (const name of data.fields) lines.push(`${name}: ${shown(valueOf(trial, name))}`);
  told.textContent = lines.join("\n");
  const box = told.getBoundingClientRect();
  told.style.left = `${Math.min(event.clientX + 14, innerWidth - box.width - 8)}px`;
  told.style.top = `${Math.min(event.clientY + 14, innerHeight - box.height - 8)}px`;
}

// ---------------------------------------------------------------------------------------- filters
const kept = {states: new Set(trials.map((t) => t.state)), most: {}, brushes: {}};
function passes(trial) {
  if (!kept.states.has(trial.state)) return false;
  for (const [name, most] of Object.entries(kept.most)) {
    const value = valueOf(trial, name);
    if (value === null) return false;
    if (name === "quality" && data.largest_is_best ? value < most : value > most) return false;
  }
  for (const [name, [low, high, at]] of Object.entries(kept.brushes)) {
    const value = valueOf(trial, name);
    if (value === null || at(value) < low || at(value) > high) return false;
  }
  return true;
}
function filters() {
  const bar = document.getElementById("filters");
  for (const state of [...kept.states].sort()) {
    const label = document.createElement("label"), box = document.createElement("input");
    Object.assign(box, {type: "checkbox", checked: true, name: state});
    box.addEventListener("change", () => {
      kept.states[box.checked ? "add" : "delete"](state);
      apply();
    });
    label.append(box, state);
    bar.append(label);
  }
  for (const name of numbers) {
    const label = document.createElement("label"), box = document.createElement("input");
    const atLeast = name === "quality" && data.largest_is_best;
    Object.assign(box, {type: "number", step: "any", name: `most-${name}`, placeholder: "any"});
    box.addEventListener("input", () => {
      if (box.value === "") delete kept.most[name];
      else kept.most[name] = +box.value;
      apply();
    });
    label.append(`${title(name)} ${atLeast ? "≥" : "≤"}`, box, units[name] || "");
    bar.append(label);
  }
  const count = document.createElement("span");
  Object.assign(count, {id: "count", className: "soft", ariaLive: "polite"});
  bar.append(count);
}
function apply() {
  const out = new Set(trials.filter((t) => !passes(t)).map((t) => String(t.number)));
  for (const each of document.querySelectorAll("svg [data-trial]")) {
    each.classList.toggle("faded", out.has(each.dataset.trial));
  }
  for (const row of document.querySelectorAll("tr[data-trial]")) {
    row.hidden = out.has(row.dataset.trial);
  }
  document.getElementById("count").textContent =
    `${trials.length - out.size} of ${trials.length} trials`;
}

// --------------------------------------------------------------------------------------- pictures
let view = {x: [0, 1], y: [0, 1]};  // the part of the points that is looked at
function points() {
  const width = 620, height = 360, svg = picture("points", width, height);
  const [xName, yName] = ["across", "up"].map((id) => document.getElementById(id).value);
  const all = trials.filter((t) => valueOf(t, xName) !== null && valueOf(t, yName) !== null);
  const x = scale(xName, all, view.x), y = scale(yName, all, view.y);
  const there = (t) => [x.at(valueOf(t, xName)), y.at(valueOf(t, yName))];
  const rows = all.filter((t) => there(t).every((place) => place >= 0 && place <= 1));
  const [px, py] = axes(svg, width, height, x, y, xName, yName);
  closer(svg, width, height, px, py);
  const place = (t) => [px(x.at(valueOf(t, xName))), py(y.at(valueOf(t, yName)))];
  const most = data.limits[xName];
  if (most && x.at(most) >= 0 && x.at(most) <= 1) {
    const at = px(x.at(most));
    make("line", {class: "limit", x1: at, x2: at, y1: py(0), y2: py(1)}, svg);
  }
  const costly = data.costs.includes(xName) && yName === "quality";
  const steps = all.filter((t) => front.has(t.number)).map(place)
    .sort((a, b) => a[0] - b[0] || (data.largest_is_best ? a[1] - b[1] : b[1] - a[1]));
  // Of several objectives two are seen: the steps are those that none beats in these.
  const best = steps.filter(([, up], i) =>
    steps.slice(0, i).every(([, other]) => (data.largest_is_best ? up < other : up > other)));
  if (costly && best.length > 1) {
    let path = `M${best[0]}`;
    for (let i = 1; i < best.length; i++) path += `H${best[i][0]}V${best[i][1]}`;
    make("path", {class: "front", d: path, "clip-path": "url(#inside)"}, svg);
  }
  const order = [...rows].sort((a, b) => front.has(a.number) - front.has(b.number)
    || (a.number === data.winner) - (b.number === data.winner));
  for (const t of order) {
    const [cx, cy] = place(t), r = t.number === data.winner ? 8 : t.state === "complete" ? 6 : 4;
    mark(make("circle", {class: `mark ${kind(t)}`, cx, cy, r}, svg), t);
  }
  byKey.points = [...rows].sort((a, b) => place(a)[0] - place(b)[0]);
}
function history() {
  const width = 620, height = 360, svg = picture("history", width, height);
  const rows = trials.filter((t) => t.quality !== null);
  const x = scale("trial", rows), y = scale("quality", rows);
  const [px, py] = axes(svg, width, height, x, y, "trial", "quality");
  byKey.history = rows;
  let best = null, path = "";
  for (const t of rows) {
    if (t.state === "complete") {
      const better = best === null || (data.largest_is_best ? t.quality > best : t.quality < best);
      if (better) {
        const at = [px(x.at(t.number)), py(y.at(t.quality))];
        path += best === null ? `M${at}` : `H${at[0]}V${at[1]}`;
        best = t.quality;
      }
    }
  }
  if (path) make("path", {class: "best", d: `${path}H${px(1)}`}, svg);
  for (const t of rows) {
    const at = {cx: px(x.at(t.number)), cy: py(y.at(t.quality)), r: 5};
    mark(make("circle", {class: `mark ${kind(t)}`, ...at}, svg), t);
  }
}
function curves() {
  const width = 620, height = 320, svg = picture("curves", width, height);
  const rows = trials.filter((t) => t.validation.length);
  const all = rows.flatMap((t) => t.validation.filter(([, v]) => v !== null).map(([s, v]) =>
    ({number: s, quality: v, quantities: {}, values: {}})));
  const x = scale("trial", all), y = scale("quality", all);
  const [px, py] = axes(svg, width, height, x, y, "step", "quality");
  byKey.curves = rows;
  for (const t of rows) {
    const places = t.validation.filter(([, v]) => v !== null)
      .map(([s, v]) => [px(x.at(s)), py(y.at(v))]);
    if (!places.length) continue;
    mark(make("path", {class: `path ${kind(t)}`, d: `M${places.join("L")}`}, svg), t);
    const [cx, cy] = places[places.length - 1];
    mark(make("circle", {class: `mark ${kind(t)}`, cx, cy, r: 3.5}, svg), t);
  }
}
function lines() {
  const used = [...data.fields, ...data.costs, "quality"];
  const width = Math.max(900, 130 * used.length), height = 330, svg = picture("lines", width, height);
  const top = 40, bottom = height - 20, gap = (width - 150) / Math.max(used.length - 1, 1);
  const scales = used.map((name) => scale(name, trials));
  const px = (i) => 75 + i * gap, py = (p) => bottom - p * (bottom - top);
  byKey.lines = trials;
  const rank = (t) => (t.number === data.winner ? 2 : front.has(t.number) ? 1 : 0);
  for (const t of [...trials].sort((a, b) => rank(a) - rank(b))) {
    const places = used.map((name, i) => [i, valueOf(t, name)]).filter(([, v]) => v !== null)
      .map(([i, v]) => [px(i), py(scales[i].at(v))]);
    if (places.length < 2) continue;
    mark(make("path", {class: `path ${kind(t)}`, d: `M${places.join("L")}`}, svg), t);
  }
  used.forEach((name, i) => {
    const at = px(i), last = i === used.length - 1;
    make("line", {class: "axis", x1: at, x2: at, y1: top, y2: bottom}, svg);
    make("text", {x: at, y: i % 2 ? 14 : 28, "text-anchor": "middle"}, svg, withUnit(name));
    for (const [place, text] of scales[i].ticks) {
      const anchor = last ? "start" : "end";
      make("text", {x: at + (last ? 7 : -7), y: py(place) + 4, "text-anchor": anchor}, svg, text);
    }
    const chosen = make("rect", {class: "brush", x: at - 6, width: 12, y: 0, height: 0}, svg);
    const hit = make("rect", {class: "hit", x: at - 12, width: 24, y: top, height: bottom - top}, svg);
    const place = (event) => {
      const box = svg.getBoundingClientRect();
      const y = (event.clientY - box.top) * height / box.height;
      return Math.min(1, Math.max(0, (bottom - y) / (bottom - top)));
    };
    let begin = null;
    const keep = (from, to) => {
      const [low, high] = [Math.min(from, to), Math.max(from, to)];
      if (high - low < 0.01) delete kept.brushes[name];
      else kept.brushes[name] = [low, high, scales[i].at];
      const there = name in kept.brushes;
      chosen.setAttribute("y", there ? py(high) : 0);
      chosen.setAttribute("height", there ? py(low) - py(high) : 0);
      apply();
    };
    hit.addEventListener("pointerdown", (event) => {
      begin = place(event);
      hit.setPointerCapture(event.pointerId);
    });
    hit.addEventListener("pointermove", (event) => begin !== null && keep(begin, place(event)));
    hit.addEventListener("pointerup", (event) => {
      keep(begin, place(event));
      begin = null;
    });
    axisKeys(hit, name, keep);
  });
}
let sorted = ["trial", 1];
function table() {
  const columns = ["trial", "state", "quality", ...quantities, ...data.fields, "reason"];
  const cell = (t, name) => (name in {state: 1, reason: 1} ? t[name] : valueOf(t, name));
  const [by, way] = sorted;
  const rows = [...trials].sort((a, b) => {
    const [x, y] = [cell(a, by), cell(b, by)];
    if (x === null || y === null) return (x === null) - (y === null);
    return way * (x < y ? -1 : x > y ? 1 : a.number - b.number);
  });
  byKey.table = rows;
  const made = document.createElement("table"), head = made.createTHead().insertRow();
  for (const name of columns) {
    const th = document.createElement("th"), button = document.createElement("button");
    button.textContent = name === "reason" ? "why" : withUnit(name);
    if (name === by) th.ariaSort = way > 0 ? "ascending" : "descending";
    button.dataset.sort = name;
    button.addEventListener("click", () => {
      sorted = [name, name === by ? -way : 1];
      table();
      apply();
      document.querySelector(`[data-sort="${name}"]`).focus();
    });
    th.append(button);
    head.append(th);
  }
  const body = made.createTBody();
  for (const t of rows) {
    const row = mark(body.insertRow(), t);
    for (const name of columns) {
      const td = row.insertCell(), value = cell(t, name);
      td.textContent = name === "state" && t.number === data.winner ? "winner" : shown(value);
      if (name === "trial") td.className = `dot ${kind(t)}`;
    }
  }
  document.getElementById("table").replaceChildren(made);
}

for (const [id, chosen] of [["across", data.costs[0] || (quantities[0] ?? "trial")], ["up", "quality"]]) {
  const select = document.getElementById(id);
  for (const name of names) select.add(new Option(title(name), name, false, name === chosen));
  select.addEventListener("change", () => look({x: [0, 1], y: [0, 1]}));
}
filters();
points();
history();
lines();
curves();
table();
keys();
apply();
