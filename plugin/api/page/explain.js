// The explanation of a route: what "mbbgp explain" says, in a dialog.

import { element } from "./table.js";

const dialog = document.getElementById("why");
const text = document.getElementById("why-text");

// explain asks the bridge why a route is, or is not, on either side.
export async function explain({ vni, prefix }) {
  document.getElementById("why-title").textContent = `VNI ${vni}, ${prefix}`;
  text.replaceChildren(element("p", {}, "Asking the bridge. With many paths in BGP this takes a second."));
  if (!dialog.open) dialog.showModal();
  try {
    const answer = await fetch(`api/explain?${new URLSearchParams({ vni, prefix })}`);
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error);
    text.replaceChildren(...explanation(body));
  } catch (err) {
    text.replaceChildren(element("p", { "data-mark": "bad" }, `No answer: ${err.message}`));
  }
}

function explanation(e) {
  const parts = [];
  const say = (words, mark) => parts.push(element("p", { "data-mark": mark }, words));
  if (!e.configured) say("The VNI is not in the configuration, so BGP has no part in it.", "warn");
  if (e.notAsked) say("No hypervisor reads the VNI, so neighbors with route target constraint are not asked for its routes.", "warn");
  if (e.prefer === "bgp") say("The VNI prefers BGP: what MetalBond says of a prefix stands by as long as BGP tells of it.", "idle");
  if (e.originated) say(`The VNI originates it toward hypervisors: ${originated(e.originated)}.`, e.originated.present ? "ok" : "bad");
  if (e.aggregate) say(`It is an aggregate of the VNI: ${e.aggregate.exported ? "exported" : "not exported"}, ${counted(e.aggregate.contributors, "prefix", "es")} inside it.`, "idle");
  parts.push(element("h3", {}, "MetalBond"));
  if (e.nextHops.length === 0) say("No next hop.", "idle");
  for (const hop of e.nextHops) parts.push(...nextHop(hop));
  parts.push(element("h3", {}, "BGP"));
  if (e.paths.length === 0) say("No path.", "idle");
  for (const path of e.paths) parts.push(...bgpPath(path));
  if (e.kernel) parts.push(...kernelRoute(e.kernel));
  return parts;
}

function originated(o) {
  if (o.offers > 0) return `offered by ${counted(o.offers, "BGP path")}`;
  return o.present ? "no BGP path offers it any more, in its hold-down" : "no BGP path offers it";
}

// counted is a number with its noun.
export function counted(n, noun, plural = "s") {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : plural}`;
}

// facts is a list of names and values; what has no value is left out.
function facts(...list) {
  const dl = element("dl");
  for (const [name, value] of list) {
    if (value === null || value === undefined || value === "") continue;
    dl.append(element("dt", {}, name), element("dd", {}, value instanceof Node ? value : String(value)));
  }
  return dl;
}

function mono(words) {
  return words ? element("span", { class: "mono" }, words) : null;
}

// verdict says what the policy makes of a route, in the words of the command.
function verdict(v) {
  let words = v.accepted ? `accepted, via ${v.nextHop}` : `refused: ${v.reason}`;
  if (v.via) words += `, and on to ${v.via}`;
  if (v.detail) words += `: ${v.detail}`;
  return element("span", { "data-mark": v.accepted ? "ok" : "bad" }, words);
}

function nextHop(x) {
  const hop = x.nextHop;
  return [
    element("p", {}, "via ", mono(hop.target)),
    facts(
      ["type", hopType(hop)],
      ["target VNI", hop.targetVNI || null],
      ["said by", x.claims.map((c) => `${c.source} ${c.name} (preference ${c.preference})`).join(", ")],
      ["hypervisors see it", x.visible ? "yes" : "no, another one is preferred"],
      ["to BGP", verdict(x.export)],
    ),
  ];
}

// hopType is the type of a next hop with its ports.
export function hopType(hop) {
  return hop.type === "nat" ? `nat, ports ${hop.natFrom} to ${hop.natTo}` : hop.type;
}

function bgpPath(x) {
  return [
    element("p", {}, `${x.kind} `, mono(x.nlri)),
    facts(
      ["from", (x.neighbor || "this bridge") + (x.stale ? ", stale" : "")],
      ["best", x.best ? "yes" : "no"],
      ["next hop", mono(x.nextHop)],
      ["SID", mono(x.sid)],
      ["label", x.label || null],
      ["route targets", mono(x.routeTargets.join(" "))],
      ["site of origin", mono(x.siteOfOrigin.join(" "))],
      ["communities", mono(x.communities.join(" "))],
      ["large communities", mono(x.largeCommunities.join(" "))],
      ["D-PATH", mono(x.dPath.join(" "))],
      ["local preference", x.localPreference],
      ["MED", x.med],
      ...x.import.map((v) => ["to MetalBond", verdict(v)]),
    ),
  ];
}

function kernelRoute(k) {
  let words = "installed";
  if (!k.installed) words = `not installed: ${k.problem}`;
  else if (k.problem) words = `installed as it was before: ${k.problem}`;
  const parts = [
    element("h3", {}, "Kernel"),
    element("p", { "data-mark": k.installed && !k.problem ? "ok" : "bad" }, `table ${k.table}, ${words}`),
  ];
  for (const hop of k.nextHops) {
    parts.push(
      element("p", {}, "via ", mono(hopTarget(hop))),
      facts(["kind", hop.kind], ["next hop object", hop.id || null], ["underlay", underlay(hop)]),
    );
  }
  return parts;
}

// hopTarget is where a next hop leads to, with what it needs beside an address.
export function hopTarget(x) {
  let words = x.target;
  if (x.target && x.vni) words += ` vni ${x.vni}`;
  if (x.target && x.label) words += ` label ${x.label}`;
  if (x.routerMAC) words += ` mac ${x.routerMAC}`;
  return words || "\u2013";
}

// underlay is the way to a next hop.
export function underlay(x) {
  if (!x.target) return "\u2013";
  if (!x.reachable) return "unreachable";
  return x.gateway ? `dev ${x.device} via ${x.gateway}` : `dev ${x.device}`;
}
