"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SYMBOLS = (" H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr " +
  "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re " +
  "Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh " +
  "Fl Mc Lv Ts Og").split(" ");
const BLUE = "#0072b2", ORANGE = "#e69f00", VERMILION = "#d55e00", BLACK = "#1b1b1b", GREY = "#9aa0a8";
const number = (x, digits = 0) => x.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  if (className) node.className = className;
  return node;
}

// A formula with its amounts set low, built from text nodes: nothing that a file says becomes markup.
function formulaNode(formula, tag = "span") {
  const node = make(tag);
  for (const part of formula.split(/([0-9.]+)/)) {
    if (!part) continue;
    node.append(/^[0-9.]+$/.test(part) ? make("sub", part) : part);
  }
  return node;
}
const low = (formula) => formula.replace(/[0-9.]+/g, (n) => `<sub>${n}</sub>`); // for plots; letters and digits alone

// ---------------------------------------------------------------- head
const run = data.run, summary = data.summary, c = data.candidates, count = c.formula.length;
$("name").textContent = run.name;
const label = (p) => p.title + (p.unit ? ` (${p.unit})` : "");
const goals = data.search.map((g) => `${g.sign > 0 ? "a small" : "a large"} ${g.title}`).join(" and ");
$("lead").textContent = `${number(summary.screened)} compositions of ${run.elements.length} elements ` +
  `(${run.arity.join(", ")} at a time, up to ${run.max_atoms} atoms) ` +
  (goals ? `looked at in a search for ${goals}` : "screened") + `; ${number(summary.candidates)} ` +
  (run.threshold === null ? "were found" : `lie more than ${run.threshold} eV/atom below the hull of ${data.reference.name} by ${data.model.name}`) +
  (data.properties.columns.some((p) => p.low !== null || p.high !== null) ? " and have the properties asked for." : ".");
$("expectation").textContent = data.expectation;

// ---------------------------------------------------------------- table
const word = (column, row) => (column.codes[row] < 0 ? "" : column.words[column.codes[row]]);
const symbolsOf = (text) => text.split(/[\s,\-]+/).filter(Boolean).map((s) => SYMBOLS.indexOf(s[0].toUpperCase() + s.slice(1).toLowerCase()));
const systemElements = c.system.words.map((name) => symbolsOf(name).sort((a, b) => a - b));
const elementsOf = (row) => systemElements[c.system.codes[row]];
function amountsOf(row) {
  const found = new Map([...c.formula[row].matchAll(/([A-Z][a-z]?)([0-9.]*)/g)].map(([, symbol, n]) => [SYMBOLS.indexOf(symbol), Number(n || 1)]));
  return elementsOf(row).map((z) => found.get(z));
}
function mixtureNode(text, node) {
  text.split(" + ").forEach((part, i) => {
    const [fraction, formula] = part.split(" ");
    node.append((i ? " + " : "") + fraction + " ", formulaNode(formula));
  });
  return node;
}
function statesNode(row) {
  const node = make("td", undefined, "wide");
  const states = word(c.states, row);
  if (!states) return node;
  const own = elementsOf(row), each = states.split(" ").map(Number);
  [...c.formula[row].matchAll(/[A-Z][a-z]?/g)].forEach(([symbol], place) => { // in the formula's order
    const q = each[own.indexOf(SYMBOLS.indexOf(symbol))], size = Math.abs(q);
    node.append((place ? " " : "") + symbol, make("sup", q ? (size > 1 ? size : "") + (q > 0 ? "+" : "−") : "0"));
  });
  if (!c.ordered[row]) node.append(make("span", " (electronegativities out of order)", "note"));
  return node;
}
const COLUMNS = [
  { head: "", title: data.run.likely_first ? "rank, what is likely a compound first" : goals ? "rank" : "rank by distance", value: (r) => r, cell: (r) => make("td", r + 1, "number note") },
  { head: "formula", value: (r) => c.formula[r], cell: (r) => { const n = formulaNode(c.formula[r], "td"); n.className = "formula"; return n; } },
  { head: "distance", title: "to the hull, eV/atom", numeric: true, value: (r) => c.distance[r], cell: (r) => make("td", c.distance[r].toFixed(3), "number") },
  { head: "predicted", title: "formation energy, eV/atom", numeric: true, value: (r) => c.energy[r], cell: (r) => make("td", c.energy[r].toFixed(3), "number") },
  { head: "±", title: "68% of errors are smaller", numeric: true, value: (r) => c.uncertainty[r] ?? Infinity, cell: (r) => make("td", c.uncertainty[r] === null ? "" : c.uncertainty[r].toFixed(3), "number") },
  { head: "charges", title: "common oxidation states that balance", wide: true, value: (r) => -c.balanced[r] - c.ordered[r], cell: statesNode },
  { head: "nearest known", title: "by distance of the fractions of atoms; within 0.01 or 0.1 is a match", wide: true, value: (r) => c.nearest_distance[r] ?? Infinity, cell: (r) => {
    const n = make("td", undefined, "wide");
    const name = word(c.nearest, r);
    if (name) n.append(formulaNode(name), make("span", ` ${c.nearest_distance[r].toFixed(2)}`, "note"));
    return n;
  } },
  { head: "analogue", title: "known, same amounts of elements of the same columns", wide: true, value: (r) => word(c.analogue, r) || "~", cell: (r) => { const n = formulaNode(word(c.analogue, r), "td"); n.className = "wide"; return n; } },
  { head: "known phases there", title: "fractions of atoms", wide: true, value: (r) => c.decomposition[r], cell: (r) => mixtureNode(c.decomposition[r], make("td", undefined, "wide")) },
];
const properties = data.properties.columns, front = data.properties.front;
COLUMNS.splice(5, 0, ...properties.map((p) => ({
  head: label(p), title: `predicted by ${p.model}`, numeric: true, value: (r) => (p.sign || 1) * p.values[r],
  cell: (r) => { const n = make("td", p.values[r], "number"); if (p.spreads[r] !== null) n.append(make("span", ` ±${p.spreads[r]}`, "note")); return n; },
})));
const PAGE = 50;
let rows = [], sorted = 0, rising = true, page = 0, chosenRow = -1;

function head() {
  const line = document.querySelector("#table thead tr");
  COLUMNS.forEach((column, at) => {
    const th = make("th", column.head, [column.wide && "wide", (column.numeric || !at) && "number"].filter(Boolean).join(" "));
    th.title = column.title || "";
    th.tabIndex = 0;
    const sort = () => { rising = sorted === at ? !rising : true; sorted = at; page = 0; order(); draw(); };
    th.addEventListener("click", sort);
    th.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
    line.append(th);
  });
}
function select() {
  const held = symbolsOf($("with").value), not = symbolsOf($("without").value), text = $("formula").value.trim().toLowerCase();
  const arity = Number($("arity").value), below = Number($("below").value) || 0;
  const balanced = $("balanced").checked, fblock = $("fblock").checked, stable = $("stable").checked;
  rows = [];
  for (let r = 0; r < count; r++) {
    const own = elementsOf(r), kinds = word(c.contains, r);
    if (arity && own.length !== arity) continue;
    if (below && c.distance[r] > -below) continue;
    if (balanced && !c.ordered[r]) continue;
    if (fblock && (kinds.includes("lanthanide") || kinds.includes("actinide"))) continue;
    if (stable && kinds.includes("radioactive")) continue;
    if (!held.every((z) => own.includes(z)) || not.some((z) => own.includes(z))) continue;
    if ($("front").checked && !front[r]) continue;
    if (text && !c.formula[r].toLowerCase().includes(text)) continue;
    rows.push(r);
  }
  page = 0;
  order();
  draw();
}
function order() {
  if (!sorted && rising) { rows.sort((a, b) => a - b); return; }
  const { value } = COLUMNS[sorted], sign = rising ? 1 : -1, keys = new Map(rows.map((r) => [r, value(r)]));
  rows.sort((a, b) => { const x = keys.get(a), y = keys.get(b); return x < y ? -sign : x > y ? sign : a - b; });
}
function draw() {
  document.querySelectorAll("#table th").forEach((th, at) => {
    if (at === sorted) th.setAttribute("aria-sort", rising ? "ascending" : "descending"); else th.removeAttribute("aria-sort");
  });
  const body = document.querySelector("#table tbody"), pages = Math.max(Math.ceil(rows.length / PAGE), 1);
  page = Math.min(Math.max(page, 0), pages - 1);
  body.replaceChildren(...rows.slice(page * PAGE, (page + 1) * PAGE).map((r) => {
    const line = make("tr");
    line.tabIndex = 0;
    if (r === chosenRow) line.className = "chosen";
    const pick = () => { chosenRow = r; draw(); show(word(c.system, r), r); $("diagram").scrollIntoView({ behavior: "smooth" }); };
    line.addEventListener("click", pick);
    line.addEventListener("keydown", (event) => { if (event.key === "Enter") pick(); });
    line.append(...COLUMNS.map((column) => column.cell(r)));
    return line;
  }));
  const removed = Object.entries(data.filters).map(([name, n]) => `${name} ${number(n)}`).join(", ");
  $("shown").textContent = `${number(rows.length)} of ${number(count)} candidates` +
    (count < summary.candidates ? ` listed here, of ${number(summary.candidates)} in all` : "") + (data.run.likely_first ? ", likely compounds first" : "") +
    (removed ? `; left out: ${removed}` : "");
  $("page").textContent = `page ${page + 1} of ${number(pages)}`;
  $("previous").disabled = page === 0;
  $("next").disabled = page === pages - 1;
}
function save() {
  const lines = [["rank", "formula", "chemical_system", "hull_distance_ev_atom", "formation_energy_ev_atom", "uncertainty_ev_atom", "hull_energy_ev_atom", "charge_balanced", "nearest_phase", "analogue", ...properties.map((p) => p.name)].join(",")];
  for (const r of rows) lines.push([r + 1, c.formula[r], word(c.system, r), c.distance[r], c.energy[r], c.uncertainty[r] ?? "", c.hull[r], Boolean(c.balanced[r]), word(c.nearest, r), word(c.analogue, r), ...properties.map((p) => p.values[r])].join(","));
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
  link.download = `${run.name}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// ---------------------------------------------------------------- hull diagrams
const CORNERS = { 3: [[0, 0], [1, 0], [0.5, Math.sqrt(3) / 2]], 4: [[0, 0, 0], [1, 0, 0], [0.5, Math.sqrt(3) / 2, 0], [0.5, Math.sqrt(3) / 6, Math.sqrt(2 / 3)]] };
const MOST_PHASES = 80; // of four elements: a second of work
const LAYOUT = { font: { family: "system-ui, sans-serif", size: 13, color: BLACK }, paper_bgcolor: "white", plot_bgcolor: "white", hovermode: "closest", margin: { l: 60, r: 20, t: 20, b: 50 }, legend: { orientation: "h", y: -0.12 } };
const CONFIG = { responsive: true, displaylogo: false };

function fractionsOf(numbers, amounts, own) {
  const total = amounts.reduce((a, b) => a + b, 0);
  return own.map((z) => { const at = numbers.indexOf(z); return at < 0 ? 0 : amounts[at] / total; });
}
function show(name, highlighted = -1) {
  const own = [...new Set(symbolsOf(name))].sort((a, b) => a - b);
  const k = own.length, foreign = own.filter((z) => !run.elements.includes(SYMBOLS[z]));
  if (foreign.length) { // of which this page holds no phases: a diagram would be wrong
    Plotly.purge("plot");
    $("diagram-note").textContent = `Only elements of this run: ${run.elements.join(", ")}.`;
    return;
  }
  $("system").value = own.map((z) => SYMBOLS[z]).join("-");
  if (k < 2 || k > 4) {
    Plotly.purge("plot");
    $("diagram-note").textContent = name ? "A diagram takes two, three or four elements." : "";
    return;
  }
  const within = (numbers) => numbers.every((z) => own.includes(z));
  const known = own.map((z, at) => ({ name: SYMBOLS[z], x: own.map((_, j) => (j === at ? 1 : 0)), e: 0 }));
  for (const [formula, numbers, fractions, energy, low] of data.phases) if (within(numbers)) known.push({ name: formula, x: fractionsOf(numbers, fractions, own), e: energy, low });
  const least = new Map(); // of equal compositions the lowest: the others are on no hull
  known.forEach((p) => { const key = p.x.map((f) => f.toFixed(6)).join(); if (!least.has(key) || least.get(key).e > p.e) least.set(key, p); });
  const phases = [...least.values()].filter((p) => p.low !== 0 && p.e <= 0); // others are on no hull of more elements either
  if (k === 4 && phases.length > MOST_PHASES) {
    Plotly.purge("plot");
    $("diagram-note").textContent = `${phases.length} known phases: too many for a diagram of four elements; take three of them.`;
    return;
  }
  const facets = hullFacets(phases, k), onHull = new Set(facets.flat());
  const stable = phases.filter((_, i) => onHull.has(i)), above = known.filter((p) => !stable.includes(p));
  const found = [];
  for (let r = 0; r < count; r++) if (within(elementsOf(r))) found.push({ row: r, name: c.formula[r], x: fractionsOf(elementsOf(r), amountsOf(r), own), e: c.energy[r], d: c.distance[r] });
  $("diagram-note").textContent = `${stable.length - k} known compounds on the hull, ${above.length} above it, ${found.length} candidates` + (data.computed ? `; ${data.computed.length} compounds calculated since the scan` : "") +
    (highlighted >= 0 ? `; ${c.formula[highlighted]} and what it would be made of: ${c.decomposition[highlighted]}` : "");
  const lines = tieLines(facets).map(([a, b]) => [phases[a], phases[b]]);
  const mark = found.filter((p) => p.row === highlighted);
  const into = mark.length ? c.decomposition[highlighted].split(" + ").map((part) => part.split(" ")[1]).map((f) => stable.find((p) => p.name === f)).filter(Boolean).map((p) => [mark[0], p]) : [];
  const text = (p) => `${low(p.name)}<br>${p.e.toFixed(3)} eV/atom${p.d === undefined ? "" : `<br>${p.d.toFixed(3)} to the hull`}`;
  const at = k === 2 ? (p) => [p.x[1], p.e] : (p) => CORNERS[k][0].map((_, i) => p.x.reduce((sum, f, j) => sum + f * CORNERS[k][j][i], 0));
  const scatter = (points, extra) => {
    const xyz = points.map(at), axis = (i) => xyz.map((p) => p[i]);
    return { type: k === 4 ? "scatter3d" : "scatter", mode: "markers", x: axis(0), y: axis(1), ...(k === 4 && { z: axis(2) }), text: points.map(text), hoverinfo: "text", ...extra };
  };
  const strokes = (pairs, extra) => {
    const xyz = pairs.flatMap(([a, b]) => [at(a), at(b), null]), axis = (i) => xyz.map((p) => (p ? p[i] : null));
    return { type: k === 4 ? "scatter3d" : "scatter", mode: "lines", x: axis(0), y: axis(1), ...(k === 4 && { z: axis(2) }), hoverinfo: "skip", ...extra };
  };
  const size = k === 4 ? 0.6 : 1;
  const traces = [
    strokes(lines, { line: { color: k === 2 ? BLACK : GREY, width: k === 2 ? 2 : 1 }, name: "hull" }),
    strokes(into, { line: { color: VERMILION, width: 2 }, showlegend: false }),
    scatter(above, { marker: { color: GREY, size: 6 * size, symbol: k === 4 ? "circle" : "circle-open" }, name: "known, above the hull" }),
    scatter(found, { marker: { color: found.map((p) => p.d), cmin: Math.min(...found.map((p) => p.d)) - 1e-3, cmax: run.threshold === null ? Math.max(...found.map((p) => p.d)) + 1e-3 : -run.threshold, colorscale: "Cividis", size: 9 * size, symbol: "diamond", showscale: found.length > 0, colorbar: { title: { text: "to the hull (eV/atom)", side: "right" }, thickness: 12, len: 0.8 }, line: { color: "white", width: 0.5 } }, name: "candidates" }),
    scatter(mark, { marker: { color: VERMILION, size: 14 * size, symbol: "diamond", line: { color: BLACK, width: 1 } }, name: "chosen", showlegend: mark.length > 0 }),
    scatter(stable, { mode: "markers+text", marker: { color: BLACK, size: 8 * size, symbol: "square" }, hovertext: stable.map(text), text: stable.map((p) => low(p.name)), textposition: "bottom center", textfont: { size: 11 }, name: "known, on the hull" }),
  ];
  const bare = { visible: false, showgrid: false, zeroline: false };
  const axes = k === 2
    ? { xaxis: { title: { text: `fraction of ${SYMBOLS[own[1]]}` }, range: [-0.03, 1.03], zeroline: false }, yaxis: { title: { text: "formation energy (eV/atom)" }, zeroline: true, zerolinecolor: "#d9dde3" } }
    : k === 3
      ? { xaxis: { ...bare, range: [-0.08, 1.08] }, yaxis: { ...bare, scaleanchor: "x", range: [-0.08, 0.95] }, margin: { l: 10, r: 10, t: 10, b: 40 } }
      : { scene: { xaxis: bare, yaxis: bare, zaxis: bare, camera: { eye: { x: 1.4, y: -1.4, z: 0.45 }, center: { x: 0, y: 0, z: -0.1 } } }, margin: { l: 0, r: 0, t: 0, b: 40 } };
  Plotly.react("plot", traces, { ...LAYOUT, ...axes }, CONFIG);
}

// ---------------------------------------------------------------- directions
function wayNode(way) {
  const node = make("td");
  if (!way) return node;
  const give = way.uncertainty_ev_atom === null ? "" : ` ±${number(way.uncertainty_ev_atom, 3)}`;
  node.append(`${way.direction}, ${number(100 * way.fraction_of_atoms)}%: `, formulaNode(way.formula));
  const beyond = way.beyond_uncertainty_between;
  node.append(make("div", beyond || give === "" ? `${way.change_ev_atom > 0 ? "+" : ""}${number(way.change_ev_atom, 3)}${give} eV/atom` : "nothing beyond the uncertainty", "note"));
  return node;
}
function directions() {
  const line = (cells) => { const tr = make("tr"); tr.append(...cells); return tr; };
  $("ways").append(line(["candidate", "slopes of the distance", "within its elements", "with another one"].map((title) => make("th", title))));
  for (const one of data.directions) {
    const slopes = make("td");
    for (const s of one.slopes) {
      const give = s.uncertainty_ev_atom === null ? "" : ` ±${number(10 * s.uncertainty_ev_atom, 1)}`;
      slopes.append(make("div", `${s.element} ${s.hull_distance_slope_ev_atom > 0 ? "+" : ""}${number(10 * s.hull_distance_slope_ev_atom, 1)}${give}`));
    }
    const others = make("td");
    for (const way of one.with_another) others.append(...wayNode(way).childNodes);
    if (!one.with_another.length) others.append(make("div", "nothing beyond the uncertainty", "note"));
    $("ways").append(line([formulaNode(one.formula, "td"), slopes, wayNode(one.within), others]));
  }
}

// ---------------------------------------------------------------- counts, elements, distances
function counts() {
  const arities = Object.entries(summary.by_arity);
  const line = (cells, tag = "td") => { const tr = make("tr"); cells.forEach((cell, i) => tr.append(cell instanceof Node ? cell : make(tag, cell, i ? "number" : ""))); return tr; };
  $("arities").append(line(["elements", "compositions", "systems", "candidates", "systems with one"], "th"),
    ...arities.map(([k, part]) => line([k, number(part.compositions), number(part.systems), number(part.candidates), number(part.systems_with_candidate)])));
  $("categories").append(line(["without lanthanides and actinides", ...arities.map(([k]) => `${k} elements`)], "th"));
  for (const row of data.categories) {
    const name = make("td", row.category);
    name.append(make("div", row.what, "note"));
    $("categories").append(line([name, ...arities.map(([k]) => {
      const cell = make("td", undefined, "number"), told = row.arity[k];
      cell.append(number(told ? told.systems : 0));
      if (told) { const best = make("div", undefined, "note"); told.best.forEach((formula, i) => best.append(i ? " " : "", formulaNode(formula))); cell.append(best); }
      return cell;
    })]));
  }
}
function matches() {
  const told = Object.entries(data.matches).map(([least, n]) => `${number(n)} within ${least}`);
  $("matches").textContent = `Of all candidates, by the distance of their fractions of atoms from a known compound's: ${told.join(", ")}.`;
}
const CIVIDIS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
function cividis(t) {
  const at = Math.min(Math.max(t, 0), 1) * 5, i = Math.min(Math.floor(at), 4), f = at - i;
  return CIVIDIS[i].map((v, j) => Math.round(v + f * (CIVIDIS[i + 1][j] - v)));
}
function place(z) {
  if (z >= 57 && z <= 71) return [9, z - 54];
  if (z >= 89 && z <= 103) return [10, z - 86];
  const starts = [1, 3, 11, 19, 37, 55, 87, 119], row = starts.findIndex((_, n) => z < starts[n + 1]);
  const at = z - starts[row], width = starts[row + 1] - starts[row];
  if (row === 0) return [1, 1 + 17 * at];
  return [row + 1, 1 + (width === 8 ? (at < 2 ? at : at + 10) : width === 18 || at < 2 ? at : at - 14)];
}
function periodic() {
  const most = Math.max(1, ...Object.values(data.occurrences));
  for (let z = 1; z <= 118; z++) {
    const box = make("div", SYMBOLS[z]), n = data.occurrences[SYMBOLS[z]] || 0, [row, column] = place(z);
    box.style.gridRow = row;
    box.style.gridColumn = column;
    if (run.elements.includes(SYMBOLS[z])) {
      box.append(make("small", number(n)));
      const [r, g, b] = n ? cividis(n / most) : [222, 226, 230];
      box.style.background = `rgb(${r},${g},${b})`;
      box.style.color = 0.3 * r + 0.6 * g + 0.1 * b > 125 ? "#000" : "#fff";
    }
    box.title = `${SYMBOLS[z]}: ${number(n)} candidates`;
    $("periodic").append(box);
  }
  $("scale").textContent = `Candidates that hold the element, of ${number(summary.candidates)}: dark few, bright many (at most ${number(most)}). Pale: not scanned.`;
}
function histogram() {
  const h = data.histogram;
  Plotly.newPlot("histogram", [{ type: "bar", x: h.counts.map((_, i) => h.start + (i + 0.5) * h.width), y: h.counts, width: h.width, marker: { color: BLUE }, hovertemplate: "%{x:.3f} eV/atom: %{y:,}<extra></extra>" }],
    { ...LAYOUT, xaxis: { title: { text: "distance to the hull (eV/atom)" } }, yaxis: { title: { text: "candidates" }, type: "log", dtick: 1 }, bargap: 0, shapes: run.threshold === null ? [] : [{ type: "line", x0: -run.threshold, x1: -run.threshold, yref: "paper", y0: 0, y1: 1, line: { color: ORANGE, width: 2 } }] }, CONFIG);
}

function traced() {
  const height = 320 * data.search.length, traces = [], axes = {};
  data.search.forEach((g, at) => {
    const n = at ? at + 1 : "", better = g.sign > 0 ? Math.min : Math.max;
    let best = g.values[0];
    const soFar = g.values.map((v) => (best = better(best, v))), x = g.numbers.map((i) => i + 1), own = { xaxis: `x${n}`, yaxis: `y${n}`, showlegend: !at };
    traces.push({ type: "scatter", mode: "markers", x, y: g.values, text: g.formulas.map(low), hovertemplate: "%{text}<br>%{y:.4g}<extra></extra>", marker: { color: BLUE, size: 4, opacity: 0.5 }, name: "found", ...own },
      { type: "scatter", mode: "lines", x, y: soFar, line: { color: ORANGE, width: 2, shape: "hv" }, hoverinfo: "skip", name: "best so far", ...own });
    axes[`xaxis${n}`] = { title: { text: "compositions looked at" } };
    axes[`yaxis${n}`] = { title: { text: label(g) } };
  });
  Plotly.newPlot("trace", traces, { ...LAYOUT, ...axes, height, grid: { rows: data.search.length, columns: 1, pattern: "independent" } }, CONFIG);
}
function tradeoff() {
  const p = properties[$("property").value], all = [...c.formula.keys()], best = all.filter((r) => front[r]), others = all.filter((r) => !front[r]);
  const points = (rows, extra) => ({ type: count > 5000 ? "scattergl" : "scatter", mode: "markers", x: rows.map((r) => c.distance[r]), y: rows.map((r) => p.values[r]), text: rows.map((r) => low(c.formula[r])), hovertemplate: "%{text}<br>%{x:.3f} eV/atom<br>%{y:.4g}<extra></extra>", ...extra });
  const limits = [p.low, p.high].filter((x) => x !== null).map((x) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: x, y1: x, line: { color: ORANGE, width: 1 } }));
  Plotly.react("tradeoff", [points(others, { marker: { color: BLUE, size: 5, opacity: 0.5 }, name: "candidates" }), points(best, { marker: { color: VERMILION, size: 9, symbol: "diamond", line: { color: "white", width: 0.5 } }, name: "Pareto front", showlegend: best.length > 0 })],
    { ...LAYOUT, xaxis: { title: { text: "distance to the hull (eV/atom)" } }, yaxis: { title: { text: label(p) } }, shapes: limits }, CONFIG);
}
function frontNote() {
  const counted = properties.filter((p) => p.sign).map((p) => `${p.sign < 0 ? "a large" : "a small"} ${p.title}`);
  return counted.length ? `Pareto front: ${number(front.filter(Boolean).length)} of the listed candidates are beaten by no other in all of: ${["distance to the hull", ...counted].join(", ")}.` : "";
}

// ---------------------------------------------------------------- provenance, work
function flat(object, prefix = "") {
  return Object.entries(object).flatMap(([key, value]) => value && typeof value === "object" && !Array.isArray(value) ? flat(value, `${prefix}${key} `) : [[prefix + key, Array.isArray(value) ? value.join(", ") : String(value)]]);
}
function cards() {
  const card = (title, object) => {
    const box = make("div"), list = make("dl");
    box.append(make("h3", title));
    for (const [key, value] of flat(object)) list.append(make("dt", key.replaceAll("_", " ")), make("dd", value));
    box.append(list);
    $("cards").append(box);
  };
  card("Model", data.model);
  card("Reference", data.reference);
  card("Run", { fingerprint: run.fingerprint, students: run.student ? "looked first" : "not asked", "charge neutral": run.charge_neutral ? "only such compositions" : "any", requires: run.require, ...run.versions });
}
function work() {
  const t = summary.throughput, stages = ["enumerate", "predict", "hull", "describe candidates"];
  const seconds = [2, 3, 4, 5].map((at) => data.timeline.reduce((sum, chunk) => sum + chunk[at], 0));
  const all = seconds.reduce((a, b) => a + b, 0) || 1;
  $("throughput").textContent = (t.last_session_compositions ? `${number(t.last_session_compositions)} compositions in ${number(t.last_session_seconds, 1)} s, ${number(t.last_session_compositions / t.last_session_seconds)}/s. ` : "") +
    (goals ? "" : "Time of the threads: " + stages.map((stage, i) => `${stage} ${number(100 * seconds[i] / all)}%`).join(", ") + ".");
  let done = 0;
  const points = data.timeline.map(([when, size]) => [new Date(1000 * when), done += size]);
  if (points.length) Plotly.newPlot("timeline", [{ x: points.map((p) => p[0]), y: points.map((p) => p[1]), mode: "lines+markers", line: { color: BLUE, shape: "hv" }, marker: { size: 5 }, hovertemplate: "%{x}: %{y:,}<extra></extra>" }],
    { ...LAYOUT, yaxis: { title: { text: "compositions done" }, rangemode: "tozero" } }, CONFIG);
}

// ---------------------------------------------------------------- begin
head();
for (const k of run.arity) { const option = make("option", k); option.value = k; $("arity").append(option); }
for (const id of ["with", "without", "formula", "arity", "below", "balanced", "fblock", "stable", "front"]) $(id).addEventListener("input", select);
$("clear").addEventListener("click", () => { $("filters").reset(); sorted = 0; rising = true; select(); });
$("save").addEventListener("click", save);
$("previous").addEventListener("click", () => { page--; draw(); });
$("next").addEventListener("click", () => { page++; draw(); });
$("system").addEventListener("change", () => { chosenRow = -1; draw(); show($("system").value); });
for (const id of ["search", "to-search"]) $(id).hidden = !goals;
if (properties.length) {
  for (const id of ["properties", "to-properties"]) $(id).hidden = false;
  $("front-label").hidden = !front.length;
  $("front-note").textContent = frontNote();
  properties.forEach((p, at) => { const option = make("option", label(p)); option.value = at; $("property").append(option); });
  $("property").addEventListener("change", tradeoff);
}
select();
const options = document.createDocumentFragment();
for (const name of c.system.words.slice(0, 2000)) { const option = make("option"); option.value = name; options.append(option); }
$("systems").append(options);
directions();
counts();
matches();
periodic();
cards();
window.addEventListener("load", () => { // the table can be read while the plots' library, megabytes of it, is
  histogram();
  if (properties.length) tradeoff();
  if (goals) traced();
  work();
  if (count) show(word(c.system, 0), 0);
  document.body.dataset.ready = "yes";
});
