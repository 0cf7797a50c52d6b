/* The text around the plot: verdict, switches, legend, lists; and what pointer and keys do. */

/* -- head ------------------------------------------------------------------------------------ */

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function head() {
  const failed = DATA.verdict.name;
  $("heading").append(`Seed ${DATA.seed}`,
    element("span", failed || "ok", { class: `verdict ${failed ? "failed" : "ok"}` }));
  const count = (kind) => R.filter((record) => KIND[record[1]] === kind).length;
  const facts = [`${LANES} nodes`, `${ms(DATA.end, 1)} virtual ms`, `${count("Installed")} views`,
    `${count("Sent")} sent`, `${count("Delivered")} delivered`,
    `${DATA.datagrams_arrived.toLocaleString("en")} datagrams`, `trace ${DATA.digest}`];
  $("facts").append(...facts.map((fact) => element("span", fact)));
  if (failed) {
    $("violation").textContent = DATA.verdict.text;
    $("violation").hidden = $("failure").hidden = false;
  }
}

function switches() {
  const counts = new Map();
  for (const record of R) counts.set(CATEGORY[record[1]], (counts.get(CATEGORY[record[1]]) || 0) + 1);
  counts.delete("token");
  if (DATA.tokens.length) counts.set("token", DATA.tokens.length);
  if (deliveriesOf.size) counts.set("messages", deliveriesOf.size);
  for (const move of DATA.datagrams) {
    const name = DATA.datagram_kinds[move[3]];
    counts.set(name, (counts.get(name) || 0) + 1);
  }
  const order = ["views", "synced", "messages", "sends", "deliveries", "token", "life", "faults",
    "clients", "other"];
  const known = [...order.filter((name) => counts.has(name)), ...DATA.datagram_kinds];
  for (const name of known) {
    const box = element("input", "", { type: "checkbox" });
    box.checked = shown.has(name);
    box.addEventListener("change", () => {
      if (box.checked) shown.add(name); else shown.delete(name);
      show(from, to);
    });
    const label = element("label", "");
    label.append(box, DATA.datagram_kinds.includes(name) ? `${name.toLowerCase()} datagrams` : name,
      element("small", counts.get(name).toLocaleString("en")));
    $("switches").append(label);
  }
}

function legend() {
  const mark = (name, shape = name) =>
    `<path class="${name}" d="${SHAPES[shape](23, shape === "faults" ? 0 : 12, .5)}"/>`;
  const items = [
    [`<g class="view"><rect class="v0" x="2" y="3" width="42" height="15" rx="2"/>`
      + `<text x="8" y="14">1.9</text></g>`,
      "a regular view: its ring (representative.sequence) and members; one colour, one ring"],
    [`<path class="trans" d="M23 6l5 5l-5 5l-5 -5z"/>`,
      "T: the transitional configuration before it; who came along from the old ring"],
    [`<line class="life" x1="2" x2="44" y1="11" y2="11"/>`, "the daemon runs"],
    [mark("boot"), "it starts"], [mark("crash"), "it crashes; grey: it left"],
    [`<rect class="asleep" x="2" width="42" y="1" height="20"/>`, "it sleeps (SIGSTOP)"],
    [`<rect class="slow" x="2" width="42" y="1" height="20"/>`, "it is slow"],
    [mark("sends"), "the ring takes a message"], [mark("deliveries"), "it delivers one"],
    [`<path class="message" d="M3 4L43 18"/>`, "a message from its sending to a delivery elsewhere"],
    [`<path class="token" d="M2 5H26L43 18"/>`, "the token: held (level), then passed on"],
    [`<path class="datagram" d="M18 3L23 18"/>`, "another datagram arrives (from above or below)"],
    [`<rect class="synced" x="20" y="9" width="6" height="3"/>`, "the services agree again"],
    [mark("clients"), "a client comes, goes, sends, receives, is told a view"],
    [`<path class="faults" d="M23 5l5 5.5l-5 5.5l-5 -5.5z"/>`, "a fault begins or ends"],
    [`<rect class="s0" x="2" width="42" y="0" height="11"/><rect class="s1" x="2" width="42" y="11"`
      + ` height="11"/>`, "the network is cut: lanes of one tint still hear each other"],
    [`<line class="alarm" x1="23" x2="23" y1="0" y2="22"/>`, "a property does not hold"],
  ];
  $("legend").innerHTML = items.map(([drawing, text]) =>
    `<li><svg aria-hidden="true">${drawing}</svg><span>${esc(text)}</span></li>`).join("");
}

/* -- lists ----------------------------------------------------------------------------------- */

const RECORDS_LISTED_MAX = 400;

function viewLists() {
  DATA.nodes.forEach((node, lane) => {
    const section = element("section", ""), items = element("ol", "");
    R.forEach((record, row) => {
      const kind = KIND[record[1]];
      if (record[2] !== lane || !["Installed", "Booted", "Crashed"].includes(kind)) return;
      const regular = kind === "Installed" && record[4];
      const item = element("li", "", { "data-r": row,
        class: kind !== "Installed" ? "life" : regular ? "regular" : "transitional" });
      item.append(element("time", ms(record[0])));
      if (regular) item.append(element("i", "", { class: `v${hueOf.get(record[5])}` }));
      item.append(record[3].slice(record[3].indexOf(":") + 2));
      items.append(item);
    });
    section.append(element("h3", `Node ${node}`), items);
    $("views").append(section);
  });
}

function recordList(rows) {
  const asked = $("search").value.trim().toLowerCase();
  const fits = (text) => text.toLowerCase().includes(asked);
  for (const item of $("views").querySelectorAll("li")) item.hidden = !fits(item.textContent);
  const found = rows.filter((row) => {
    const category = CATEGORY[R[row][1]];
    return shown.has(category) && fits(R[row][3]);
  });
  $("listed").textContent = `${ms(from)} to ${ms(to)} ms: ${found.length.toLocaleString("en")} records`
    + (found.length > RECORDS_LISTED_MAX ? `, the first ${RECORDS_LISTED_MAX} listed` : "");
  $("records").replaceChildren(...found.slice(0, RECORDS_LISTED_MAX).map((row) => {
    const item = element("li", "", { "data-r": row, class: row === CULPRIT ? "alarm" : "" });
    item.append(element("time", ms(R[row][0], 6)), R[row][3]);
    return item;
  }));
}

/* -- pointer and keys ------------------------------------------------------------------------ */

function describe(target) {
  const { r: row, n: count, b: band } = target.dataset;
  if (band !== undefined) {
    const [begin, end, text] = DATA.bands[band];
    return `${ms(begin)} to ${ms(end)} ms  ${text}`;
  }
  const more = count > 1 ? `\n(and ${count - 1} more of this kind here: zoom in)` : "";
  return `${ms(R[row][0], 6)} ms  ${R[row][3]}${more}`;
}

function glow(row) { // all lines of the message that this record is about
  const hot = $("hot");
  if (row === undefined || !hot) return;
  const record = R[row], sent = KIND[record[1]] === "Delivered" ? record[4] : Number(row);
  const lines = (deliveriesOf.get(sent) || []).map((got) => messageLine(sent, got));
  hot.innerHTML = `<path class="message" style="stroke-width:2;opacity:1" d="${lines.join("")}"/>`;
}

function hover(event) {
  const target = event.target.closest?.("[data-r],[data-b]"), hint = $("hint");
  hint.hidden = !target;
  if (!target) { if ($("hot")) $("hot").innerHTML = ""; return; }
  glow(target.dataset.r);
  hint.textContent = describe(target);
  const frame = $("plot").parentElement, box = frame.getBoundingClientRect();
  const left = Math.min(event.clientX - box.left + 12, box.width - hint.offsetWidth - 8);
  const below = event.clientY - box.top + frame.scrollTop + 16;
  hint.style.left = `${Math.max(0, left)}px`;
  hint.style.top = `${below}px`;
}

function keep(row) {
  kept = Number(row);
  $("record").className = "kept";
  $("record").textContent = `${ms(R[kept][0], 6)} ms  ${R[kept][3]}`;
  show(from, to);
}

function dragging() {
  const plot = $("plot");
  let grip = null;
  plot.addEventListener("pointerdown", (event) => {
    if (event.button === 0) grip = { at: event.clientX, from, to, moved: false, on: event.target };
  });
  plot.addEventListener("pointermove", (event) => {
    if (!grip) { hover(event); return; }
    const by = event.clientX - grip.at;
    if (!grip.moved && Math.abs(by) < 4) return;
    if (!grip.moved) plot.setPointerCapture(event.pointerId);
    grip.moved = true;
    $("hint").hidden = true;
    show(grip.from - by / scale(), grip.to - by / scale());
  });
  plot.addEventListener("pointerup", () => {
    const target = grip && !grip.moved && grip.on.closest("[data-r],[data-b]");
    grip = null;
    if (target?.dataset.r !== undefined) keep(target.dataset.r);
    else if (target) { $("record").className = "kept"; $("record").textContent = describe(target); }
  });
  plot.addEventListener("pointercancel", () => { grip = null; });
  plot.addEventListener("pointerleave", () => { $("hint").hidden = true; });
}

function wiring() {
  const plot = $("plot"), small = $("overview");
  const pixel = (event) => event.clientX - plot.getBoundingClientRect().left;
  plot.addEventListener("wheel", (event) => {
    event.preventDefault();
    const across = event.deltaX || (event.shiftKey ? event.deltaY : 0);
    if (across) pan(across / 1200); else zoom(1.0018 ** event.deltaY, pixel(event));
  }, { passive: false });
  plot.addEventListener("dblclick", (event) => zoom(.4, pixel(event)));
  const toPlace = (event) => {
    const box = small.getBoundingClientRect(), half = (to - from) / 2;
    const time = (event.clientX - box.left) / box.width * END;
    show(time - half, time + half);
  };
  small.addEventListener("pointerdown", (event) => {
    small.setPointerCapture(event.pointerId); toPlace(event);
  });
  small.addEventListener("pointermove", (event) => { if (event.buttons & 1) toPlace(event); });
  const around = (time, half) => show(time - half, time + half);
  const doings = { earlier: () => pan(-.25), later: () => pan(.25), nearer: () => zoom(.5),
    farther: () => zoom(2), whole: () => show(0, END), failure: () => around(FAILED_AT, 25 * MS) };
  for (const [id, doing] of Object.entries(doings)) $(id).addEventListener("click", doing);
  const keys = { ArrowLeft: "earlier", ArrowRight: "later", "+": "nearer", "=": "nearer",
    "-": "farther", 0: "whole" };
  plot.addEventListener("keydown", (event) => {
    if (keys[event.key]) { event.preventDefault(); doings[keys[event.key]](); }
  });
  for (const id of ["views", "records"]) $(id).addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (!item) return;
    keep(item.dataset.r);
    if (id === "views") around(R[kept][0], Math.min((to - from) / 2, 25 * MS));
  });
  $("search").addEventListener("input", () => show(from, to));
  addEventListener("resize", () => show(from, to));
}

document.addEventListener("window-moved", (event) => recordList(event.detail));
head(); switches(); legend(); viewLists(); dragging(); wiring();
const asked = /from=([\d.]+)&to=([\d.]+)/.exec(location.hash); // milliseconds, to share a window
if (asked) { from = asked[1] * MS; to = Math.max(asked[2] * MS, from + 1000); }
draw();
