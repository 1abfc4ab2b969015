// Draws the state that the server sends with each change. Its times are seconds before or after the time of sending, so
// that wall clocks do not matter.
const byId = (id) => document.getElementById(id);
const WINDOWS = [60, 120, 300, 600, 1800, 3600];
let state = null;
let at = 0;

const since = () => (performance.now() - at) / 1000;

function seconds(value) {
  if (value == null) return "–";
  if (value < 0.001) return "< 1 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// A colour for each identity, the same in every browser.
function colour(id) {
  let hash = 0;
  for (const char of id) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return `oklch(0.65 0.14 ${(hash % 360)})`;
}

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, attributes);
  made.append(...children);
  return made;
}

function text(id, value) {
  const where = byId(id);
  if (where.textContent !== value) where.textContent = value;
}

function leader() {
  const { leader } = state;
  const left = leader?.left_seconds == null ? null : Math.max(0, leader.left_seconds - since());
  document.body.classList.toggle("led", leader != null);
  text("leader", leader ? leader.candidate_id : "no leader");
  text("token", leader?.token == null ? "–" : String(leader.token));
  text("held", leader ? (leader.held_longer ? "at least " : "") + seconds(Math.floor(leader.held_seconds + since())).replace(".0", "") : "–");
  text("left", left == null ? "–" : `${left.toFixed(1)} s of ${leader.ttl_seconds} s`);
  const share = left == null ? 0 : Math.min(1, left / leader.ttl_seconds);
  byId("meter").style.width = `${share * 100}%`;
  byId("meter").classList.toggle("low", share < 0.3);
}

function members() {
  const rows = state.members.map(({ candidate_id: id, role, payload, succession }) => {
    const dot = node("span", { className: "dot" });
    dot.style.background = colour(id);
    const row = node("li", {}, dot, node("span", { className: "id", textContent: id }));
    if (id === state.candidate_id) row.append(node("span", { className: "badge", textContent: "this one" }));
    if (payload != null) row.append(node("span", { className: "badge", textContent: payload }));
    const place = role === "leader" || succession == null ? role : succession === 1 ? "next" : `number ${succession}`;
    row.append(node("span", { className: role === "leader" ? "badge live" : "badge", textContent: place }));
    return row;
  });
  byId("members").replaceChildren(...(rows.length ? rows : [node("li", { className: "none", textContent: "none" })]));
}

// The tenures. Each has the seconds since it began and ended, and the gap before it.
function tenures() {
  const passed = since();
  return state.tenures.map((tenure, place, all) => {
    const began = tenure.began_seconds_ago + passed;
    const ended = tenure.ended_seconds_ago == null ? 0 : tenure.ended_seconds_ago + passed;
    const before = all[place - 1]?.ended_seconds_ago;
    const gap = before == null ? null : Math.max(0, before - tenure.began_seconds_ago);
    return { ...tenure, id: tenure.candidate_id, began, ended, gap, running: tenure.ended_seconds_ago == null };
  });
}

function timeline() {
  const all = tenures();
  const oldest = all.length ? all[0].began : 0;
  const span = WINDOWS.find((span) => span >= oldest * 1.02) ?? WINDOWS.at(-1);
  const x = (ago) => 100 - (100 * Math.min(span, ago)) / span;
  const shown = all.filter(({ ended }) => ended < span);
  const lanes = new Map();
  for (const tenure of shown) {
    if (!lanes.has(tenure.id)) lanes.set(tenure.id, node("div", { className: "lane" }, node("span", { textContent: tenure.id })));
    const bar = node("div", { className: "bar", title: `token ${tenure.token}, ${seconds(tenure.began - tenure.ended)}` });
    bar.style.left = `${x(tenure.began)}%`;
    bar.style.width = `${x(tenure.ended) - x(tenure.began)}%`;
    bar.style.background = colour(tenure.id);
    lanes.get(tenure.id).append(bar);
  }
  const gaps = shown.filter(({ gap, began }) => gap != null && began < span).map(({ gap, began }) => {
    const label = node("span", { className: "gap", textContent: seconds(gap) });
    label.style.left = `clamp(1.5rem, ${x(began + gap / 2)}%, calc(100% - 1.5rem))`;
    return label;
  });
  byId("timeline").replaceChildren(...lanes.values(), ...thin(gaps));
  const worst = Math.max(0, ...all.map(({ gap }) => gap ?? 0));
  byId("timeline").setAttribute("aria-label", all.length
    ? `${all.length} tenures in the last ${seconds(oldest)}; the longest time without a leader was ${seconds(worst)}`
    : "no tenure yet");
}

// Drops labels that would overlap: the newer one stays.
function thin(labels) {
  const room = 48 / Math.max(1, byId("timeline").clientWidth) * 100;
  let last = Infinity;
  return labels.reverse().filter((label) => {
    const left = Number.parseFloat(label.style.left.match(/([\d.]+)%/)[1]);
    if (last - left < room) return false;
    last = left;
    return true;
  });
}

function table() {
  const rows = tenures().reverse().map(({ id, token, began, ended, gap, running }) => {
    const cells = [id, token ?? "–", `${seconds(began)} ago`, running ? "present" : seconds(began - ended), seconds(gap)];
    return node("tr", {}, ...cells.map((cell) => node("td", { textContent: String(cell) })));
  });
  byId("table").replaceChildren(...rows);
}

function draw() {
  leader();
  timeline();
}

function take(event) {
  state = JSON.parse(event.data);
  at = performance.now();
  document.title = `${state.election} – leasehold`;
  text("election", state.election);
  text("namespace", state.namespace);
  text("me", state.candidate_id);
  byId("resign").querySelector("button").disabled = !state.can_resign || state.leader == null;
  text("error", state.error ? `No updates at present: ${state.error}` : "");
  members();
  table();
  draw();
}

function listen() {
  const events = new EventSource("state");
  const link = byId("link");
  const show = (what, name) => Object.assign(link, { textContent: what, className: `badge ${name}` });
  events.onopen = () => show("live", "live");
  events.onmessage = take;
  events.onerror = () => {
    show("disconnected, retrying", "cut");
    // After some answers the browser does not retry: connect again.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

byId("resign").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  text("answer", "request sent …");
  try {
    const answer = await fetch("resign", { method: "POST", headers: { "x-leasehold": "resign" } });
    text("answer", (await answer.text()).trim());
  } catch (error) {
    text("answer", `no answer: ${error.message}`);
  }
  button.disabled = !state?.can_resign || state.leader == null;
});

listen();
setInterval(() => state && draw(), 200);
