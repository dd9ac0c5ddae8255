"use strict";
// What the page of a sweep (sweep.js) does by keys, and how one looks closer at the points.
let chosen = null;  // the trial that keys have come to

// ------------------------------------------------------------------------------- looking closer
function look(next) {
  const clamp = ([low, high]) => {
    const width = Math.min(1, Math.max(0.01, high - low));
    const begin = Math.min(1 - width, Math.max(0, low));
    return [begin, begin + width];
  };
  view = {x: clamp(next.x), y: clamp(next.y)};
  points();
  apply();
}
// Times closer, around the trial that keys have come to, if it is seen, or the middle.
function zoom(times) {
  const own = chosen && document.querySelector(`#points [data-trial="${chosen.number}"]`);
  const part = ([low, high], place) => {
    const width = (high - low) / times, middle = low + (high - low) * place;
    return [middle - width / 2, middle + width / 2];
  };
  const x = own ? (own.cx.baseVal.value - 58) / (620 - 72) : 0.5;
  const y = own ? (360 - 36 - own.cy.baseVal.value) / (360 - 58) : 0.5;
  look({x: part(view.x, x), y: part(view.y, y)});
  if (own) choose(chosen, "points");
}
const all = () => look({x: [0, 1], y: [0, 1]});
// Draw a rectangle to look closer; twice a click shows all.
function closer(svg, width, height, px, py) {
  const clip = make("clipPath", {id: "inside"}, make("defs", {}, svg));
  const inside = {x: px(0), y: py(1), width: px(1) - px(0), height: py(0) - py(1)};
  make("rect", inside, clip);
  const drawn = make("rect", {class: "brush", x: 0, y: 0, width: 0, height: 0}, svg);
  let begin = null;
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * width / box.width;
    const y = (event.clientY - box.top) * height / box.height;
    const share = [(x - px(0)) / (px(1) - px(0)), (py(0) - y) / (py(0) - py(1))];
    return share.map((place) => Math.min(1, Math.max(0, place)));
  };
  const span = (a, b) => [Math.min(a, b), Math.max(a, b)];
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") return;
    begin = at(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!begin) return;
    const end = at(event), [[x0, x1], [y0, y1]] = [0, 1].map((i) => span(begin[i], end[i]));
    const to = {x: px(x0), width: px(x1) - px(x0), y: py(y1), height: py(y0) - py(y1)};
    for (const [name, value] of Object.entries(to)) drawn.setAttribute(name, value);
  });
  svg.addEventListener("pointerup", (event) => {
    if (!begin) return;
    const [from, to] = [begin, at(event)];
    const part = ([low, high], i) => span(from[i], to[i]).map((place) => low + place * (high - low));
    begin = null;
    for (const side of ["width", "height"]) drawn.setAttribute(side, 0);
    if ([0, 1].every((i) => Math.abs(to[i] - from[i]) > 0.02)) {
      look({x: part(view.x, 0), y: part(view.y, 1)});
    }
  });
  svg.addEventListener("dblclick", all);
}

// -------------------------------------------------------------------------------------- the keys
function choose(trial, id) {
  chosen = trial;
  const own = document.querySelector(`#${id} [data-trial="${trial.number}"]`);
  if (!own) return;
  if (id === "table") own.scrollIntoView({block: "nearest"});
  const box = own.getBoundingClientRect(), middle = id === "lines" || id === "table";
  hover(trial, {clientX: middle ? box.left + box.width / 2 : box.right, clientY: box.bottom});
}
// Arrows go from trial to trial of a picture, or of the table; what filters leave out is passed by.
function keys() {
  for (const id of Object.keys(byKey)) {
    const box = document.getElementById(id);
    Object.assign(box, {tabIndex: 0, role: "group", ariaLabel: `${box.dataset.named}, by arrows`});
    box.addEventListener("keydown", (event) => {
      const way = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      const act = {"+": () => zoom(2), "-": () => zoom(0.5), 0: all}[event.key];
      if (event.target !== box || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") {
        chosen = null;
        hover(null);
      } else if (way) {
        const order = byKey[id].filter(passes);
        const at = order.indexOf(chosen), next = at < 0 ? (way > 0 ? 0 : -1) : at + way;
        if (order.length) choose(order.at(next % order.length), id);
      } else if (act && id === "points") act();
      else return;
      event.preventDefault();
    });
    box.addEventListener("blur", () => hover(null));
  }
  for (const [id, act] of [["closer", () => zoom(2)], ["farther", () => zoom(0.5)], ["whole", all]]) {
    document.getElementById(id).addEventListener("click", act);
  }
}
// An axis of the values: arrows move its lower end, with Shift its upper one; Escape keeps all.
function axisKeys(hit, name, keep) {
  const told = () => {
    const [low, high] = kept.brushes[name] || [0, 1];
    return `${Math.round(100 * low)} to ${Math.round(100 * high)} % of the axis`;
  };
  const named = {tabindex: 0, role: "slider", "aria-label": `keep values of ${title(name)}`};
  for (const [key, value] of Object.entries(named)) hit.setAttribute(key, value);
  hit.setAttribute("aria-valuetext", told());
  hit.addEventListener("keydown", (event) => {
    const way = {ArrowUp: 0.05, ArrowDown: -0.05}[event.key];
    let [low, high] = kept.brushes[name] || [0, 1];
    if (event.key === "Escape") [low, high] = [0, 0];
    else if (!way) return;
    else if (event.shiftKey) high = Math.min(1, Math.max(low + 0.05, high + way));
    else low = Math.max(0, Math.min(high - 0.05, low + way));
    keep(low, low <= 0 && high >= 1 ? low : high);
    hit.setAttribute("aria-valuetext", told());
    event.preventDefault();
  });
}
