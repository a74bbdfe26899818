// The page shows what api/events tells, section by section. Nothing is computed
// here that the bridge knows: this is layout, ages, and what has changed since.

import { Table, element } from "./table.js";
import { counted, explain, hopTarget, hopType, underlay } from "./explain.js";
import { search, searchAgain } from "./search.js";
import { Story } from "./story.js";

const $ = (id) => document.getElementById(id);
const sections = ["status", "problems", "vnis", "redistribution", "sessions", "neighbors", "policy", "kernel"];

let board = {}; // the last of each section
let now = 0; // time of the board, by the clock of the bridge
const story = new Story($("log"), $("log-note"));

// Figures and ages.

const number = (n) => Number(n).toLocaleString("en");
const some = (n) => (n ? number(n) : null); // 0 is nothing to look at
const mono = (text) => (text ? { text, mono: true } : null);

function age(seconds) {
  if (seconds < 0) seconds = 0;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function since(time) {
  if (!time) return null;
  return { text: age((now - Date.parse(time)) / 1000), title: new Date(time).toLocaleString() };
}

function clock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}

function vniLink(v) {
  return { lines: [{ text: String(v.vni), href: `?vni=${v.vni}#routes` }, v.name].filter(Boolean) };
}

// few lists the first of many.
function few(list, most = 8) {
  if (list.length <= most) return list.join(", ");
  return `${list.slice(0, most).join(", ")} and ${list.length - most} more`;
}

// The tables.

const tables = {
  sessions: new Table("sessions", (s) => s.peer, [
    (s) => ({ text: s.state, mark: s.established ? "ok" : s.role === "server" ? "bad" : "warn" }),
    (s) => mono(s.peer),
    (s) => s.role,
    (s) => since(s.since),
    (s) => few(s.vnis),
    (s) => number(s.routes),
    (s) => (s.held ? { text: number(s.held), mark: "warn" } : null),
    (s) => some(s.behind),
    (s) => (s.refused ? { text: number(s.refused), mark: "warn" } : null),
    (s) => s.lastError,
  ]),
  neighbors: new Table("neighbors", (n) => n.address, [
    (n) => ({ text: n.state, mark: n.since ? "ok" : "bad" }),
    (n) => ({ lines: [mono(n.address), n.description].filter(Boolean) }),
    (n) => n.asn,
    (n) => since(n.since),
    (n) => n.families.map((f) => (f.endOfRIB ? f.family : `${f.family} (no End-of-RIB yet)`)).join(", "),
    (n) => (n.maxRoutes ? `${number(n.routes)} of ${number(n.maxRoutes)}` : number(n.routes)),
    (n) => (n.refused ? { text: number(n.refused), mark: "warn" } : null),
    (n) => (n.stale.length ? { text: n.stale.map((s) => s.family + (s.longLived ? " (long-lived)" : "")).join(", "), mark: "warn" } : null),
    (n) => (n.since ? null : n.lastError),
  ]),
  vnis: new Table("vnis", (v) => v.vni, [
    (v) => vniLink(v),
    (v) => ({ lines: [v.configured ? `${v.family}/${v.encapsulation}` : "MetalBond only", v.prefer === "bgp" ? "prefers BGP" : ""].filter(Boolean) }),
    (v) => mono(v.gateway),
    (v) => number(v.prefixes),
    (v) => number(v.nextHops),
    (v) => (v.configured ? number(v.imported) : null),
    (v) => (v.configured ? number(v.exported) : null),
    (v) => kept(String(v.vni)),
    (v) => origination(String(v.vni)),
    (v) => v.table || null,
  ]),
  policy: new Table("rules", (r) => `${r.vni} ${r.direction} ${r.name}`, [
    (r) => r.vni,
    (r) => r.direction,
    (r) => r.name,
    (r) => number(r.matched),
    (r) => number(r.refused),
    (r) => r.then,
    (r) => mono(r.when),
    (r) => mono(r.set),
  ]),
  tables: new Table("tables", (t) => t.vni, [
    (t) => t.vni,
    (t) => t.table,
    (t) => t.vrf,
    (t) => number(t.routes),
    (t) => some(t.unclaimed),
    (t) => (t.pending ? { text: number(t.pending), mark: "bad" } : null),
    (t) => (t.conflicts ? { text: number(t.conflicts), mark: "warn" } : null),
    (t) => some(t.steeredRanges),
    (t) => t.lastError,
  ]),
  hops: new Table("hops", (h) => `${h.kind} ${hopTarget(h)} ${h.id}`, [
    (h) => (h.reachable || !h.target ? { text: "reachable", mark: "ok" } : { text: "unreachable", mark: "warn" }),
    (h) => mono(hopTarget(h)),
    (h) => h.kind,
    (h) => number(h.routes),
    (h) => mono(underlay(h)),
  ]),
  devices: new Table("devices", (d) => `${d.kind} ${d.name} ${d.vni}`, [
    (d) => ({ text: d.ok ? "as it should be" : "wrong", mark: d.ok ? "ok" : "bad" }),
    (d) => mono(d.name),
    (d) => d.kind,
    (d) => d.vni || null,
    (d) => (d.ours ? "mbbgp" : "somebody else"),
    (d) => d.problem,
  ]),
};

// kept says what a rule kept from crossing, with the reasons that the command
// explain has.
function kept(vni) {
  const lines = [];
  for (const direction of ["import", "export"]) {
    const all = board.redistribution.refused.filter((r) => r.vni === vni && r.direction === direction);
    if (all.length) lines.push(`${direction}: ${all.map((r) => `${number(r.count)} ${r.reason}`).join(", ")}`);
  }
  for (const w of board.redistribution.waiting) {
    if (w.vni === vni) lines.push({ text: `${number(w.count)} prefixes wait for room`, mark: "warn" });
  }
  return lines.length ? { lines } : null;
}

// origination is what the VNI says itself, in either direction.
function origination(vni) {
  const lines = [];
  for (const o of board.redistribution.originated) {
    if (o.vni !== vni) continue;
    if (!o.present) lines.push({ text: `${o.prefix} missing`, mark: "bad" });
    else if (o.offers === 0) lines.push({ text: `${o.prefix} in hold-down`, mark: "warn" });
    else lines.push({ text: `${o.prefix} there`, mark: "ok" });
  }
  for (const a of board.redistribution.aggregates) {
    if (a.vni === vni) lines.push({ text: `aggregate ${a.prefix} ${a.exported ? "exported" : "not exported"}`, mark: a.exported ? "ok" : "idle" });
  }
  return lines.length ? { lines } : null;
}

// note shows a line below a table: that it is empty, or not all.
function note(id, list, empty, command) {
  const left = list.total - list.rows.length;
  const words = list.total === 0 ? empty : left > 0 ? `${number(left)} more: ${command}` : "";
  $(id).textContent = words;
  $(id).hidden = words === "";
}

// draw shows the board.
function draw() {
  drawVerdict();
  const { sessions, neighbors, vnis, policy, kernel } = board;
  $("sessions-part").hidden = !sessions;
  if (sessions) {
    tables.sessions.show(sessions.rows);
    note("sessions-note", sessions, "No MetalBond session: nobody is connected.", "mbbgp show peers");
  }
  $("neighbors-part").hidden = !neighbors || !board.status;
  if (neighbors) {
    tables.neighbors.show(neighbors.rows);
    note("neighbors-note", neighbors, "No BGP neighbor.", "mbbgp show neighbors");
  }
  tables.vnis.show(vnis.rows);
  const early = board.redistribution.refused.filter((r) => r.vni === "").map((r) => `${number(r.count)} ${r.reason}`);
  note("vnis-note", vnis, "No VNI: none is configured, and nobody has announced or asked for one.", "mbbgp show vnis");
  if (early.length) {
    $("vnis-note").textContent += ` Refused from BGP before a VNI was asked: ${early.join(", ")}.`;
    $("vnis-note").hidden = false;
  }
  $("rules-part").hidden = !policy || policy.total === 0;
  if (policy) {
    tables.policy.show(policy.rows);
    note("rules-note", policy, "", "mbbgp show policy");
  }
  drawKernel(kernel);
  searchAgain(vnis.rows);
}

function drawKernel(k) {
  $("kernel-part").hidden = !k;
  if (!k) {
    $("kernel-state").textContent = "The configuration has no kernel section: this bridge does not forward.";
    $("kernel-state").dataset.mark = "idle";
    return;
  }
  $("kernel-state").textContent = k.state.synced ? `in step with the tables for ${age((now - Date.parse(k.state.since)) / 1000)}` : "not in step with the tables";
  $("kernel-state").dataset.mark = k.state.synced ? "ok" : "bad";
  tables.tables.show(k.tables.rows);
  tables.hops.show(k.nextHops.rows);
  note("hops-note", k.nextHops, "No next hop.", "mbbgp show kernel");
  tables.devices.show(k.devices.rows);
  note("devices-note", k.devices, "None.", "mbbgp show kernel");
}

// drawVerdict says at the top what an operator has to know first.
function drawVerdict() {
  const { status, problems, sessions, neighbors, vnis, kernel } = board;
  const waiting = status.conditions.filter((c) => !c.ok);
  const rows = [
    ...waiting.map((c) => ({ down: true, text: `Waiting for ${c.name}`, detail: c.detail })),
    ...problems.rows,
  ];
  const total = waiting.length + problems.total;
  let mark = "ok", words = "Ready, nothing amiss";
  if (!status.ready) [mark, words] = ["bad", "Not ready"];
  else if (rows.some((p) => p.down)) [mark, words] = ["bad", `Ready, with ${counted(total, "problem")}`];
  else if (rows.length) [mark, words] = ["warn", `Ready, with ${counted(total, "remark")}`];
  headline(mark, words);
  const items = rows.map((p) =>
    element("li", { "data-mark": p.down ? "bad" : "warn" }, element("span", {}, element("b", {}, p.text), p.detail ? `: ${p.detail}` : "")));
  if (total > rows.length) items.push(element("li", { "data-mark": "idle" }, `and ${number(total - rows.length)} more`));
  const shown = JSON.stringify([rows, total]);
  if ($("problems").shown !== shown) {
    $("problems").shown = shown;
    $("problems").replaceChildren(...items);
    $("problems").hidden = items.length === 0;
  }
  const up = (l) => `${number(l.total - l.bad)} of ${number(l.total)} up`;
  const prefixes = vnis.rows.reduce((n, v) => n + v.prefixes, 0);
  figures([
    ["VNIs", number(vnis.total)],
    ["prefixes", vnis.total > vnis.rows.length ? `more than ${number(prefixes)}` : number(prefixes)],
    ["MetalBond", sessions && up(sessions)],
    ["BGP", neighbors && neighbors.total > 0 && up(neighbors)],
    ["kernel", kernel && (kernel.state.synced ? "in step" : "out of step")],
    ["running for", status.started && age((now - Date.parse(status.started)) / 1000)],
  ]);
  $("program").textContent = `mbbgp ${status.version}`;
}

// headline is the page in two words, for its top and its tab.
function headline(mark, words) {
  $("verdict").dataset.mark = mark;
  if ($("verdict-title").textContent !== words) $("verdict-title").textContent = words;
  $("verdict-title").dataset.mark = mark;
  document.title = `${mark === "ok" ? "" : `${words} \u2013 `}mbbgp ${location.host}`;
}

function figures(list) {
  const items = list.filter(([, value]) => value).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  $("figures").replaceChildren(...items);
}

// The connection.

let source = null;
let heard = 0; // when the last tick came, by the clock of this browser
let fresh = {}; // what came since the connection was made, before its first tick
let pause = 1000;

function connect() {
  fresh = {};
  source = new EventSource("api/events");
  for (const name of sections) {
    source.addEventListener(name, (e) => { fresh[name] = JSON.parse(e.data); });
  }
  let first = true;
  source.addEventListener("tick", (e) => {
    // What the process before has told and this one does not is not there any more.
    board = first ? fresh : { ...board, ...fresh };
    [first, fresh, heard, pause] = [false, {}, Date.now(), 1000];
    now = Date.parse(JSON.parse(e.data).now);
    draw();
    story.read(board, now, clock);
    drawConnection();
  });
  source.onerror = lost;
}

// lost ends a connection and makes another one in a while.
function lost() {
  if (!source) return;
  source.close();
  source = null;
  setTimeout(connect, pause);
  pause = Math.min(2 * pause, 10000);
  drawConnection();
}

function drawConnection() {
  const late = Date.now() - heard;
  const old = !source || late > 5000;
  let words = `live, as of ${clock(now)}`;
  if (heard === 0) words = source ? "connecting" : "no connection, trying again";
  else if (old) words = `disconnected, trying again; as of ${clock(now)}, ${age(late / 1000)} ago`;
  $("connection").textContent = words;
  $("connection").dataset.mark = old ? (heard === 0 && source ? "idle" : "bad") : "ok";
  if (old && heard) headline("bad", "The bridge does not answer");
  document.body.classList.toggle("old", old && heard > 0);
}

setInterval(() => {
  if (source && heard && Date.now() - heard > 12000) lost(); // a connection of which only this end is left
  drawConnection();
}, 1000);

document.addEventListener("click", (e) => {
  const ask = e.target.closest?.("[data-ask]");
  if (ask) explain(JSON.parse(ask.dataset.ask));
});

// A VNI of the table is searched without loading the page again.
$("vnis").addEventListener("click", (e) => {
  const link = e.target.closest("a");
  if (!link || e.ctrlKey || e.metaKey || e.shiftKey) return;
  $("vni").value = new URL(link.href).searchParams.get("vni");
  search();
  e.preventDefault();
  $("routes").scrollIntoView();
});

$("host").textContent = location.host;
drawConnection();
connect();
