/* The plot: lanes of nodes over virtual time, drawn anew for each window of time.

   DATA.records: [time, kind, lane or -1, text, ...]; for a view [..., is_regular, ring, members,
   left, joined], for a delivery [..., row of its send or -1]. Times are nanoseconds. */

const DATA = JSON.parse(document.getElementById("data").textContent);
const MS = 1e6, GUTTER = 66, MARGIN = 14, TOP = 50, HUES = 8, TINTS = 5;
const LINES_MAX = 4000, TOKENS_MAX = 4000, MARK_PX = 3, TOKEN_FLIGHT = 0.8 * MS;
const R = DATA.records, LANES = DATA.nodes.length;
const LANE_H = LANES <= 3 ? 104 : LANES <= 5 ? 88 : LANES <= 8 ? 76 : 62;
const KIND = DATA.kinds.map((kind) => kind[0]), CATEGORY = DATA.kinds.map((kind) => kind[1]);
const FAILED_AT = (() => {
  const at = /at ([\d.]+) ms/.exec(DATA.verdict.text);
  return DATA.verdict.name ? (at ? Number(at[1]) * MS : DATA.end) : -1;
})();
const END = Math.max(DATA.end, FAILED_AT, 1) * 1.004;

const $ = (id) => document.getElementById(id);
const esc = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const ms = (time, digits = 3) => (time / MS).toLocaleString("en", {
  minimumFractionDigits: digits, maximumFractionDigits: digits });
const list = (nodes) => nodes.join(",") || "-";

const shown = new Set(["views", "synced", "sends", "deliveries", "life", "faults", "token",
  "clients", "messages"]);
let from = 0, to = END, kept = -1, queued = false, width = 1000;

/* -- what is drawn, worked out once ---------------------------------------------------------- */

const hueOf = new Map();       // ring -> colour, so that one ring looks the same on every lane
const views = DATA.nodes.map(() => []);   // per lane: {row, begin, end, regular}
const lives = DATA.nodes.map(() => []);   // per lane: {begin, end}
const deliveriesOf = new Map();           // row of a send -> rows of its deliveries
R.forEach((record, row) => {
  const [time, kind, lane] = record;
  const close = (spans) => { const last = spans.at(-1); if (last && last.end < 0) last.end = time; };
  if (KIND[kind] === "Installed") {
    if (!hueOf.has(record[5])) hueOf.set(record[5], hueOf.size % HUES);
    if (record[4]) { close(views[lane]); views[lane].push({ row, begin: time, end: -1 }); }
  } else if (KIND[kind] === "Crashed") {
    close(views[lane]); close(lives[lane]);
  } else if (KIND[kind] === "Booted") {
    lives[lane].push({ begin: time, end: -1 });
  } else if (KIND[kind] === "Delivered" && record[4] >= 0) {
    if (!deliveriesOf.has(record[4])) deliveriesOf.set(record[4], []);
    deliveriesOf.get(record[4]).push(row);
  }
});
for (const spans of [...views, ...lives]) for (const span of spans) if (span.end < 0) span.end = END;
const transitional = DATA.nodes.map((_, lane) => R.flatMap((record, row) =>
  KIND[record[1]] === "Installed" && !record[4] && record[2] === lane ? [row] : []));
const CULPRIT = (() => {   // the last record of whom the checker names first, or of anybody
  if (FAILED_AT < 0) return -1;
  const named = / ms: (?:client )?(\d+)\b/.exec(DATA.verdict.text);
  const lane = named ? DATA.nodes.indexOf(Number(named[1])) : -1;
  const last = (fits) => R.findLastIndex((record) => record[0] <= FAILED_AT && fits(record[2]));
  const own = last((each) => lane >= 0 && each === lane);
  return own >= 0 ? own : last((each) => each >= 0);
})();

/* -- geometry -------------------------------------------------------------------------------- */

const laneTop = (lane) => TOP + lane * LANE_H;
const lifeY = (lane) => laneTop(lane) + LANE_H - 26;
const barY = (lane) => laneTop(lane) + 8;
const scale = () => (width - GUTTER - MARGIN) / (to - from);
const x = (time) => GUTTER + (time - from) * scale();
const timeAt = (px) => from + (px - GUTTER) / scale();
const clamp = (px) => Math.max(GUTTER - 4, Math.min(width + 4, px));
const fix = (number) => number.toFixed(1);

function firstAt(rows, time, of) {   // the first index whose time is at least `time`
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(rows[middle]) < time) low = middle + 1; else high = middle;
  }
  return low;
}

function inWindow(rows) { // of rows [time, ...] in order of time
  return rows.slice(firstAt(rows, from, (row) => row[0]), firstAt(rows, to, (row) => row[0]));
}

/* -- layers ---------------------------------------------------------------------------------- */

function axis(height) {
  const about = (to - from) / Math.max(3, width / 130), power = 10 ** Math.floor(Math.log10(about));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= about);
  const digits = Math.max(0, Math.ceil(-Math.log10(step / MS) - 1e-9));
  let marks = "";
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
    const at = fix(x(time));
    if (at < GUTTER + 16) continue;   // the label would lie on the name of the axis
    marks += `<line x1="${at}" x2="${at}" y1="20" y2="${height}"/>`
      + `<text x="${at}" y="13" text-anchor="middle">${ms(time, digits)}</text>`;
  }
  return `<g class="axis">${marks}</g>`;
}

function span(begin, end, least = 0) { // clipped to the window; null when outside
  if (end < from || begin > to) return null;
  const left = clamp(x(begin));
  return [left, Math.max(least, clamp(x(end)) - left)];
}

function bandLayer(height) {
  let out = "", labels = "", free = 0;
  const label = (left, text) => {
    if (left < free || left > width - 40) return;
    labels += `<text class="faultname" x="${fix(left)}" y="33">${esc(text)}</text>`;
    free = left + text.length * 6 + 12;
  };
  DATA.bands.forEach(([begin, end, text, sides], number) => {
    const at = span(begin, end, 1);
    if (!at) return;
    const rect = (top, tall, name) => `<rect class="${name}" data-b="${number}" x="${fix(at[0])}"`
      + ` width="${fix(at[1])}" y="${top}" height="${tall}"/>`;
    out += rect(TOP - 10, 5, "bandtop");
    if (sides[0] < 0) out += rect(TOP - 4, height - TOP, "band");
    sides.forEach((side, lane) => {
      if (side >= 0) out += rect(laneTop(lane), LANE_H - 4, `s${side % TINTS}`);
    });
    if (at[1] > text.length * 5.6) label(at[0], text);
  });
  for (const [lane, begin, end, kind] of DATA.spells) {
    const at = span(begin, end, 1);
    if (at) out += `<rect class="${kind}" x="${fix(at[0])}" width="${fix(at[1])}"`
      + ` y="${laneTop(lane)}" height="${LANE_H - 4}"/>`;
  }
  return out + labels;
}

function viewLayer() {
  let out = "";
  views.forEach((spans, lane) => spans.forEach(({ row, begin, end }) => {
    const at = span(begin, end, .6);
    if (!at) return;
    const ring = R[row][5], members = `{${list(R[row][6])}}`;
    const text = [`${ring}  ${members}`, ring].find((each) => each.length * 6.3 + 12 < at[1]) || "";
    out += `<g class="view" data-r="${row}" data-ring="${esc(ring)}"><rect class="v${hueOf.get(ring)}"`
      + ` x="${fix(at[0])}" width="${fix(at[1])}" y="${barY(lane)}" height="20" rx="2"/>`
      + (text && `<text x="${fix(at[0] + 8)}" y="${barY(lane) + 14}">${esc(text)}</text>`) + `</g>`;
  }));
  transitional.forEach((rows, lane) => rows.forEach((row, number) => {
    const left = x(R[row][0]), y = barY(lane) + 10;
    if (left < GUTTER - 4 || left > width) return;
    const next = rows[number + 1], room = (next ? x(R[next][0]) : width) - left;
    const text = `T {${list(R[row][6])}}`;
    out += `<path class="trans" data-r="${row}" d="M${fix(left)} ${y - 5}l5 5l-5 5l-5 -5z"/>`;
    if (LANE_H > 70 && text.length * 5.8 + 14 < room && R[row][6].length)
      out += `<text class="transtext" x="${fix(left + 7)}" y="${barY(lane) + 31}">${text}</text>`;
  }));
  return out;
}

function lifeLayer() {
  let out = "";
  lives.forEach((spans, lane) => spans.forEach(({ begin, end }) => {
    const at = span(begin, end);
    if (at) out += `<line class="life" x1="${fix(at[0])}" x2="${fix(at[0] + at[1])}"`
      + ` y1="${lifeY(lane)}" y2="${lifeY(lane)}"/>`;
  }));
  return out;
}

function tokenPath([time, source, target, since]) {
  const leave = time - Math.min(TOKEN_FLIGHT, (time - since) / 2);
  const start = source === target ? leave : Math.max(since, from - (to - from));
  // A little below the life line, so that it is seen where the token rests.
  return `M${fix(x(start))} ${lifeY(source) + 4}H${fix(x(leave))}L${fix(x(time))} ${lifeY(target) + 4}`;
}

function tokenLayer(notes) {
  if (!shown.has("token")) return "";
  const moves = inWindow(DATA.tokens);
  if (moves.length > TOKENS_MAX) {
    notes.push(`${moves.length.toLocaleString("en")} token moves in this window not drawn: zoom in`);
    return "";
  }
  const faint = moves.length > 500 ? .3 : .85;
  return `<path class="token" style="opacity:${faint}" d="${moves.map(tokenPath).join("")}"/>`;
}

function datagramLayer(notes) {
  const moves = inWindow(DATA.datagrams).filter((move) => shown.has(DATA.datagram_kinds[move[3]]));
  if (moves.length > TOKENS_MAX) {
    notes.push(`${moves.length.toLocaleString("en")} datagrams in this window not drawn: zoom in`);
    return "";
  }
  const stub = ([time, source, target]) => {
    const y = lifeY(target), way = Math.sign(source - target) * 16;
    return `M${fix(x(time) - 5)} ${y + way}L${fix(x(time))} ${y}`;
  };
  return `<path class="datagram" d="${moves.map(stub).join("")}"/>`;
}

function messageLine(sent, got) {
  return `M${fix(x(R[sent][0]))} ${lifeY(R[sent][2])}L${fix(x(R[got][0]))} ${lifeY(R[got][2])}`;
}

function messageLayer(rows, notes) {
  if (!shown.has("messages")) return "";
  const got = rows.filter((row) => KIND[R[row][1]] === "Delivered" && R[row][4] >= 0
    && R[R[row][4]][2] !== R[row][2]);
  if (got.length > LINES_MAX) {
    notes.push(`${got.length.toLocaleString("en")} message lines in this window not drawn: zoom in`);
    return "";
  }
  const faint = got.length > 500 ? .3 : .6;
  return `<path class="message" style="opacity:${faint}" d="${got.map((row) => messageLine(R[row][4], row)).join("")}"/>`;
}

const SHAPES = { // each at (x, y) on the life line, a little larger when it stands for several
  sends: (x, y, s) => `M${x} ${y - 12 - s}l${4 + s} ${8 + s}h${-8 - 2 * s}z`,
  deliveries: (x, y, s) => `M${x - 2.3 - s} ${y}a${2.3 + s} ${2.3 + s} 0 1 0 ${4.6 + 2 * s} 0`
    + `a${2.3 + s} ${2.3 + s} 0 1 0 ${-4.6 - 2 * s} 0z`,
  clients: (x, y, s) => `M${x - 2.5 - s} ${y + 6}h${5 + 2 * s}v${5 + s}h${-5 - 2 * s}z`,
  other: (x, y) => `M${x - 1.5} ${y + 15}h3v3h-3z`,
  synced: (x, y) => `M${x - 4} ${y - LANE_H + 54}h8v2.5h-8z`,
  boot: (x, y) => `M${x - 1} ${y - 6}l9 6l-9 6z`,
  crash: (x, y) => `M${x - 5} ${y - 5}l10 10m0 -10l-10 10`,
  faults: (x) => `M${x} ${TOP - 13}l5 5.5l-5 5.5l-5 -5.5z`,
};

function shapeOf(record) {
  const kind = KIND[record[1]];
  if (kind === "Booted") return ["boot", "boot"];
  if (kind === "Crashed") return ["crash", record[3].endsWith("left") ? "left" : "crash"];
  const category = CATEGORY[record[1]];
  return category === "views" || category === "token" || kind === "Calmed"
    ? null : [category, category];
}

function markLayer(rows) {
  const marks = new Map();
  for (const row of rows) {
    const record = R[row], shape = shapeOf(record);
    if (!shape || !shown.has(CATEGORY[record[1]])) continue;
    const lane = record[2];
    if (lane < 0 && shape[0] !== "faults") continue;
    const at = x(record[0]), cell = `${shape[1]} ${lane} ${Math.round(at / MARK_PX)}`;
    const mark = marks.get(cell);
    if (mark) mark.count += 1; else marks.set(cell, { row, at, lane, shape, count: 1 });
  }
  let out = "";
  for (const { row, at, lane, shape, count } of marks.values()) {
    const size = Math.min(2.4, Math.log2(count) * .45);
    const path = SHAPES[shape[0]](Math.round(at * 10) / 10, lane < 0 ? 0 : lifeY(lane), size);
    out += `<path class="${shape[1]}" data-r="${row}" data-n="${count}" d="${path}"/>`;
  }
  return out;
}

function edgeLayer(height) { // calm, violation, what was clicked
  let out = "";
  const edge = (time, name, text) => {
    const at = x(time);
    if (at < GUTTER || at > width) return;
    const side = at > width - 160 ? ["end", -5] : ["start", 5];
    out += `<line class="${name}" x1="${fix(at)}" x2="${fix(at)}" y1="20" y2="${height}"/>`
      + `<text class="${name}text" x="${fix(at + side[1])}" y="${height - 5}"`
      + ` text-anchor="${side[0]}">${esc(text)}</text>`;
  };
  for (const record of R) if (KIND[record[1]] === "Calmed") edge(record[0], "calm", "calm");
  const ring = (row, name) => {
    const lane = R[row][2];
    if (R[row][0] >= from && R[row][0] <= to && lane >= 0)
      out += `<circle class="${name}" cx="${fix(x(R[row][0]))}" cy="${lifeY(lane)}" r="10"/>`;
  };
  if (FAILED_AT >= 0) edge(FAILED_AT, "alarm", DATA.verdict.name);
  if (CULPRIT >= 0) ring(CULPRIT, "alarmring");
  if (kept >= 0) ring(kept, "kept-mark");
  return out;
}

/* -- the whole ------------------------------------------------------------------------------- */

function draw() {
  queued = false;
  const svg = $("plot"), height = TOP + LANES * LANE_H + 16, notes = [];
  width = svg.clientWidth || 1000;
  const first = firstAt(R, from, (record) => record[0]);
  const last = firstAt(R, to, (record) => record[0]);
  const rows = Array.from({ length: last - first }, (_, number) => first + number);
  const names = DATA.nodes.map((node, lane) =>
    `<text class="name" x="8" y="${barY(lane) + 15}">${esc(node)}</text>`).join("");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.style.height = `${height}px`;
  svg.innerHTML = `<defs><pattern id="asleep" width="7" height="7" patternUnits="userSpaceOnUse"`
    + ` patternTransform="rotate(45)"><line class="hatch" x1="0" x2="0" y1="0" y2="7"/></pattern>`
    + `<pattern id="tired" width="6" height="6" patternUnits="userSpaceOnUse">`
    + `<circle class="dots" cx="2" cy="2" r="1"/></pattern></defs>`
    + DATA.nodes.map((_, lane) => `<rect class="lane" x="0" width="${width}" y="${laneTop(lane)}"`
      + ` height="${LANE_H - 4}" rx="4"/>`).join("")
    + axis(height - 16) + (shown.has("faults") ? bandLayer(height - 16) : "")
    + messageLayer(rows, notes) + tokenLayer(notes) + datagramLayer(notes) + lifeLayer()
    + (shown.has("views") ? viewLayer() : "") + markLayer(rows) + edgeLayer(height)
    + `<g id="hot"></g><rect class="gutter" x="0" width="${GUTTER - 5}" y="0" height="${height}"/>`
    + `<g>${DATA.nodes.map((_, lane) => `<rect class="lane" x="0" width="${GUTTER - 5}"`
      + ` y="${laneTop(lane)}" height="${LANE_H - 4}" rx="4"/>`).join("")}${names}</g>`
    + `<text class="transtext" x="8" y="13">virtual ms</text>`
    + `<text class="faultname" x="8" y="${TOP - 5}">faults</text>`;
  $("notes").textContent = [...notes, ...DATA.notes].join(" · ");
  overview();
  document.dispatchEvent(new CustomEvent("window-moved", { detail: rows }));
}

function overview() {
  const svg = $("overview"), high = 34, wide = svg.clientWidth || 1000;
  const at = (time) => time / END * wide, columns = new Array(Math.ceil(wide / 3) + 1).fill(0);
  for (const record of R) columns[Math.floor(at(record[0]) / 3)] += 1;
  const most = Math.log(1 + Math.max(...columns));
  let out = `<rect class="lane" width="${wide}" height="${high}" rx="4"/>`;
  for (const [begin, end] of DATA.bands)
    out += `<rect class="bandtop" x="${fix(at(begin))}" width="${fix(at(end - begin) + .5)}" height="4"/>`;
  columns.forEach((count, column) => {
    const tall = count ? 2 + 20 * Math.log(1 + count) / most : 0;
    if (tall) out += `<rect class="deliveries" opacity=".45" x="${column * 3}" width="2"`
      + ` y="${fix(high - tall)}" height="${fix(tall)}"/>`;
  });
  if (FAILED_AT >= 0) out += `<rect class="alarm" x="${fix(at(FAILED_AT) - 1)}" width="2" height="34"/>`;
  out += `<rect class="brush" x="${fix(at(from))}" width="${fix(Math.max(3, at(to - from)))}" y=".5"`
    + ` height="${high - 1}" rx="2"/>`;
  svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  svg.innerHTML = out;
}

function show(begin, end) { // that window, within the run and not below a microsecond
  const long = Math.min(END, Math.max(1000, end - begin));
  from = Math.max(0, Math.min(END - long, begin));
  to = from + long;
  if (!queued) { queued = true; requestAnimationFrame(draw); }
}

const zoom = (factor, px = (width + GUTTER) / 2) => {
  const time = timeAt(px);
  show(time - (time - from) * factor, time + (to - time) * factor);
};
const pan = (share) => show(from + share * (to - from), to + share * (to - from));
