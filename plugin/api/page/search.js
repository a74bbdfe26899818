// The search of routes. The table changes all the time, so it is repeated when
// the VNIs that were looked at have changed, at most for a tenth of the time.

import { Table, element } from "./table.js";
import { counted, hopType } from "./explain.js";

const form = document.getElementById("search");
const note = document.getElementById("found-note");
const shortest = 1000; // ms between two searches of one question

const table = new Table("found", (r) => `${r.vni} ${r.prefix} ${hopText(r.nextHop)}`, [
  (r) => r.vni,
  (r) => ({ text: r.prefix, mono: true }),
  (r) => ({ text: hopText(r.nextHop), mono: true }),
  (r) => hopType(r.nextHop),
  (r) => ({ lines: r.claims.map((c) => `${c.source} ${c.name} (${c.preference})`) }),
  (r) => (r.visible ? { text: "yes", mark: "ok" } : { text: "stands by", mark: "idle", title: "another next hop of the type is preferred" }),
  (r) => ({ button: "Explain", title: `Explain ${r.prefix} of VNI ${r.vni}`, ask: { vni: r.vni, prefix: r.prefix } }),
]);

function hopText(hop) {
  return hop.targetVNI ? `${hop.target} (VNI ${hop.targetVNI})` : hop.target;
}

let running = null; // aborts the search that is under way
let ended = 0; // when the last one did
let took = 0; // ms that it took
let seen = null; // how far the VNIs were then
let vnis = [];

// changes is how far the VNIs that are searched have come.
function changes() {
  const only = form.elements.vni.value;
  return vnis.filter((v) => only === "" || String(v.vni) === only).map((v) => `${v.vni}:${v.changes}`).join();
}

// search asks for what the form says, and puts it into the address of the page.
export async function search() {
  const question = new URLSearchParams();
  for (const name of ["q", "vni"]) {
    const value = form.elements[name].value.trim();
    if (value) question.set(name, value);
  }
  history.replaceState(null, "", `${location.pathname}${question.size ? `?${question}` : ""}${location.hash}`);
  running?.abort();
  const mine = running = new AbortController();
  const [begun, before] = [Date.now(), changes()];
  try {
    const answer = await fetch(`api/routes?${question}`, { signal: mine.signal });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error);
    show(body, question.size > 0);
  } catch (err) {
    if (mine.signal.aborted) return;
    note.textContent = `The search failed: ${err.message}`;
    note.dataset.mark = "bad";
  }
  running = null;
  [seen, ended, took] = [before, Date.now(), Date.now() - begun];
}

function show(found, asked) {
  table.show(found.rows);
  let words = counted(found.rows.length, "route");
  if (found.rows.length === 0) words = asked ? "No route of this kind." : "No route.";
  if (found.more) words = `The first ${found.rows.length} that were found; there are more, so say more about what to find.`;
  if (found.partial) words = `${words} The search took too long and has not looked at all routes.`;
  if (note.textContent !== words) note.textContent = words;
  delete note.dataset.mark;
}

// searchAgain is called with each board.
export function searchAgain(list) {
  if (list.map((v) => v.vni + v.name).join() !== vnis.map((v) => v.vni + v.name).join()) {
    document.getElementById("vni-names").replaceChildren(...list.map((v) => element("option", { value: v.vni }, v.name)));
  }
  vnis = list;
  if (!running && Date.now() - ended > Math.max(shortest, 10 * took) && seen !== changes()) search();
}

let typing = 0;
form.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 300);
});
form.addEventListener("submit", (e) => {
  e.preventDefault();
  clearTimeout(typing);
  search();
});

const asked = new URLSearchParams(location.search);
for (const name of ["q", "vni"]) form.elements[name].value = asked.get(name) ?? "";
