"use strict";
// All text of the run goes through textContent or setAttribute: names are data.
const data = JSON.parse(document.getElementById("data").textContent);
const id = (name) => document.getElementById(name);
const NS = "http://www.w3.org/2000/svg";
const draw = (parent, tag, attributes, text) => {
  const made = document.createElementNS(NS, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
};
const add = (parent, tag, text, kind) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return parent.appendChild(made);
};
const short = (value) => {
  if (value === undefined || value === null) return "-";
  return Math.abs(value) < 1000 ? String(Math.round(value * 100) / 100) : String(Math.round(value));
};

id("title").textContent = data.name || data.about;
id("about").textContent = data.runs ? data.about :
  `${data.about}: ${data.nodes} nodes, ${data.links} links. Seed ${data.report.seed}. filbert ${data.version}.`;
id("again").textContent = data.again;
document.title = `${data.name || data.about} - filbert lab ${data.runs ? "report" : "run"}`;

// --- the graph, and one query on it ------------------------------------------------------------------------------
function replays() {
  const key = (a, b) => (a < b ? `${a} ${b}` : `${b} ${a}`);
  const lines = new Map();
  const svg = id("graph");
  const at = (node) => data.graph.nodes[node];
  for (const [a, b] of data.graph.links) {
    lines.set(key(a, b), draw(svg, "line", { x1: at(a).x * 100, y1: at(a).y * 100, x2: at(b).x * 100, y2: at(b).y * 100 }));
  }
  const radius = Math.max(0.5, 2 - data.graph.nodes.length / 250);
  const circles = data.graph.nodes.map((node) => {
    const size = node.role === "Leaf" ? radius * 0.7 : radius;
    const circle = draw(svg, "circle", { cx: node.x * 100, cy: node.y * 100, r: size });
    draw(circle, "title", {}, node.role ? `${node.name} (${node.role.toLowerCase()})` : node.name);
    return circle;
  });
  let replay = null;
  const show = (count) => {
    id("step").value = count;
    for (const line of lines.values()) line.removeAttribute("class");
    for (const circle of circles) circle.removeAttribute("class");
    const counts = { query: 0, duplicate: 0, hit: 0 };
    for (const [index, step] of replay.steps.slice(0, count).entries()) {
      counts[step.what] += 1;
      const line = lines.get(key(step.from, step.to));
      // What a link carried last decides its colour, but a duplicate is never painted over by a query.
      if (line && !(step.what === "query" && line.classList.contains("duplicate"))) line.setAttribute("class", step.what);
      if (line && index === count - 1) line.classList.add("now");
      if (step.what === "query") circles[step.to].setAttribute("class", "reached");
    }
    circles[replay.from].setAttribute("class", "asker");
    const last = replay.steps[count - 1];
    const when = last ? `${short(last.t)} ms, TTL ${last.ttl}, hops ${last.hops}: ${at(last.from).name} to ${at(last.to).name}. ` : "";
    const cut = replay.cut > 0 && count === replay.steps.length ? ` ${replay.cut} more are left out.` : "";
    id("told").textContent = `Step ${count} of ${replay.steps.length}. ${when}${counts.query + counts.duplicate} messages, ` +
      `${counts.query} nodes reached, ${counts.duplicate} duplicates, ${counts.hit} hit frames.${cut}`;
  };
  const choose = (index) => {
    replay = data.replays[index];
    id("which").value = index;
    id("step").max = replay.steps.length;
    show(0);
  };
  data.replays.forEach((one, index) => {
    add(id("which"), "option", `${one.name}: ${at(one.from).name} asks ${one.query}`).value = index;
  });
  const step = (by) => show(Math.min(replay.steps.length, Math.max(0, Number(id("step").value) + by)));
  id("which").oninput = () => choose(Number(id("which").value));
  id("step").oninput = () => show(Number(id("step").value));
  id("back").onclick = () => step(-1);
  id("on").onclick = () => step(1);
  let timer = null;
  id("play").onclick = () => {
    if (timer !== null) {
      clearInterval(timer);
      timer = null;
    } else {
      if (Number(id("step").value) === replay.steps.length) show(0);
      const stride = Math.ceil(replay.steps.length / 300);
      timer = setInterval(() => {
        step(stride);
        if (Number(id("step").value) === replay.steps.length) id("play").onclick();
      }, 60);
    }
    id("play").textContent = timer === null ? "Play" : "Pause";
  };
  id("replay").hidden = false;
  // A place in a replay can be linked to: #replay=0&step=12.
  const wanted = new URLSearchParams(location.hash.slice(1));
  choose(Math.min(data.replays.length - 1, Number(wanted.get("replay")) || 0));
  if (wanted.has("step")) show(Math.min(replay.steps.length, Number(wanted.get("step")) || 0));
}
if (data.graph && data.replays.length > 0) {
  replays();
} else if (data.runs) {
  for (const run of data.runs) add(id("about"), "div", `${run.name}: ${run.about}`);
} else {
  id("undrawn").textContent = "The graph is not drawn: it is too large to tell anything, or nothing is asked.";
  id("undrawn").hidden = false;
}

// --- plots -----------------------------------------------------------------------------------------------------
function figure(caption) {
  const made = add(id("plots"), "figure");
  add(made, "figcaption", caption);
  return made;
}
function bars(caption, rows, pick, scale) {
  const known = rows.filter((row) => pick(row));
  if (known.length === 0) return;
  const high = (row) => (pick(row).mean + (pick(row).ci95 || 0)) * scale;
  const top = Math.max(...known.map(high), 1e-9);
  const svg = draw(figure(caption), "svg", { viewBox: `0 0 360 ${known.length * 34 + 4}` });
  known.forEach((row, index) => {
    const { mean, ci95 } = pick(row);
    const x = (value) => (Math.max(0, value * scale) / top) * 260;
    const y = index * 34;
    draw(svg, "text", { x: 0, y: y + 11 }, row.name);
    draw(svg, "rect", { x: 0, y: y + 15, width: x(mean), height: 12 });
    if (ci95) draw(svg, "line", { class: "spread", x1: x(mean - ci95), x2: x(mean + ci95), y1: y + 21, y2: y + 21 });
    draw(svg, "text", { x: x(mean + (ci95 || 0)) + 5, y: y + 25 }, short(mean * scale) + (ci95 ? ` ±${short(ci95 * scale)}` : ""));
  });
}
function beside(caption, queries, field) {
  const top = Math.max(1, ...queries.map((query) => Math.max(query[field], query.predicted[field])));
  const svg = draw(figure(caption), "svg", { viewBox: "-40 -6 320 240" });
  draw(svg, "line", { class: "same", x1: 0, y1: 200, x2: 260, y2: 0 });
  draw(svg, "text", { x: 0, y: 226 }, `predicted, 0 to ${short(top)}`);
  draw(svg, "text", { x: -8, y: 200, transform: "rotate(-90 -8 200)" }, "measured");
  for (const query of queries) {
    const off = query.predicted.exact && query[field] !== query.predicted[field];
    const dot = draw(svg, "circle", {
      cx: (query.predicted[field] / top) * 260, cy: 200 - (query[field] / top) * 200, r: 4, class: off ? "off" : "",
    });
    draw(dot, "title", {}, `${query.from}: ${query.query}: ${query[field]} measured, ${query.predicted[field]} predicted`);
  }
}
// How large a share of the queries of each run took no more than so much.
function curves(caption, runs, field) {
  const known = runs.map((run, index) => ({ run, index, points: run.curves[field] })).filter(({ points }) => points.length > 0);
  if (known.length === 0) return;
  const top = Math.max(1e-9, ...known.map(({ points }) => points[points.length - 1][0]));
  const svg = draw(figure(caption), "svg", { viewBox: `-40 -6 320 ${236 + known.length * 14}` });
  draw(svg, "polyline", { class: "axis", points: "0,0 0,200 260,200" });
  draw(svg, "text", { x: 0, y: 216 }, `0 to ${short(top)}`);
  draw(svg, "text", { x: -8, y: 200, transform: "rotate(-90 -8 200)" }, "share of queries");
  known.forEach(({ run, index, points }, row) => {
    const kind = `curve run${index % 8}`;
    const x = (value) => (value / top) * 260;
    const y = (share) => 200 - share * 200;
    let before = 0;
    const steps = [];
    for (const [value, share] of points) {
      steps.push(`${x(value)},${y(before)}`, `${x(value)},${y(share)}`);
      before = share;
    }
    draw(svg, "polyline", { class: kind, points: [`0,${y(0)}`, ...steps, `260,${y(before)}`].join(" ") });
    draw(svg, "polyline", { class: kind, points: `0,${226 + row * 14} 20,${226 + row * 14}` });
    draw(svg, "text", { x: 26, y: 230 + row * 14 }, run.name);
  });
}
// One run's queries against the other's.
function pairs(caption, all, field, names) {
  const known = all.filter((pair) => pair[field].every((value) => value !== null));
  if (known.length === 0) return;
  const top = Math.max(1, ...known.map((pair) => Math.max(...pair[field])));
  const svg = draw(figure(caption), "svg", { viewBox: "-40 -6 320 240" });
  draw(svg, "line", { class: "same", x1: 0, y1: 200, x2: 260, y2: 0 });
  draw(svg, "text", { x: 0, y: 226 }, `${names[0]}, 0 to ${short(top)}`);
  draw(svg, "text", { x: -8, y: 200, transform: "rotate(-90 -8 200)" }, names[1]);
  for (const { from, query, [field]: [one, other] } of known) {
    const dot = draw(svg, "circle", { cx: (one / top) * 260, cy: 200 - (other / top) * 200, r: 4 });
    draw(dot, "title", {}, `${from}: ${query}: ${short(one)} and ${short(other)}`);
  }
}
function table(titles, rows) {
  const made = add(id("tables"), "table");
  const head = add(add(made, "thead"), "tr");
  for (const title of titles) add(head, "th", title);
  const body = add(made, "tbody");
  for (const { cells, off } of rows) {
    const line = add(body, "tr", undefined, off ? "off" : "");
    cells.forEach((cell) => add(line, "td", String(cell), typeof cell === "string" && !/^(-|-?[\d.]+( ±[\d.]+)?)$/.test(cell) ? "text" : ""));
  }
}
const COLUMNS = [
  ["Success, %", (row) => row.success, 100],
  ["Messages", (row) => row.messages, 1],
  ["Messages, 95th percentile", (row) => row.messages_p95, 1],
  ["Duplicates, %", (row) => row.duplicate_share, 100],
  ["Nodes reached", (row) => row.reached, 1],
  ["Bytes", (row) => row.bytes, 1],
  ["Hops to the first hit", (row) => row.hops, 1],
  ["First hit, ms, median", (row) => row.first_hit_ms_p50, 1],
  ["First hit, ms, 95th percentile", (row) => row.first_hit_ms_p95, 1],
  ["Messages a query at the busiest node", (row) => row.load_max, 1],
];
const ROWS_MAX = 1000;
if (data.report.rows) {
  for (const [caption, pick, scale] of COLUMNS) bars(caption, data.report.rows, pick, scale);
  const cell = (figure, scale) => (figure ? short(figure.mean * scale) + (figure.ci95 ? ` ±${short(figure.ci95 * scale)}` : "") : "-");
  table(["", ...COLUMNS.map(([caption]) => caption)],
    data.report.rows.map((row) => ({ cells: [row.name, ...COLUMNS.map(([, pick, scale]) => cell(pick(row), scale))] })));
  if (data.runs) {
    const names = data.runs.map((run) => run.name);
    curves("Time to the first hit, ms", data.runs, "first_hit_ms");
    curves("Messages of a query", data.runs, "messages");
    pairs("Messages, query by query", data.pairs, "messages", names);
    pairs("First hit, ms, query by query", data.pairs, "first_hit_ms", names);
    if (data.differences.length > 0) {
      table(["Differences", ...names, "difference", "%"], data.differences.map((one) => ({
        cells: [one.what, cell(one.first, one.scale), cell(one.second, one.scale), cell(one.difference, one.scale), short(one.percent)],
      })));
    }
  } else add(id("tables"), "p", `${data.report.queries} queries with each of ${data.report.seeds} seeds; ± is half of a 95 % confidence interval over the seeds. ` +
    "The replay shows the first query of the first seed.");
} else {
  const queries = data.report.queries;
  if (queries.length > 0) {
    beside("Messages", queries, "messages");
    beside("Nodes reached", queries, "reached");
    beside("Duplicates", queries, "duplicates");
    beside("Hits", queries, "hits");
  }
  const events = data.report.events || [];
  if (events.length > 0) {
    const seconds = (ms) => (ms / 1000).toFixed(2);
    table(["Event", "due, s", "begun, s", "done, s", "what happened"], events.map((event) => ({
      off: !event.ok,
      cells: [event.do, seconds(event.at_ms), seconds(event.begun_ms), seconds(event.done_ms), event.said],
    })));
  }
  table(["From", "Query", "TTL", "Messages", "predicted", "Duplicates", "predicted", "Reached", "predicted", "Hits", "predicted", "First hit, ms"],
    queries.slice(0, ROWS_MAX).map((query) => ({
      off: !query.ok,
      cells: [query.from, query.query, query.ttl, query.messages, query.predicted.messages, query.duplicates, query.predicted.duplicates,
        query.reached, query.predicted.reached, query.hits, query.predicted.hits, short(query.first_hit_ms)],
    })));
  if (queries.length > ROWS_MAX) add(id("tables"), "p", `${queries.length - ROWS_MAX} more queries stand in queries.csv.`);
}
