// What has changed its state while the page was open. The bridge's log has more;
// this is for whoever looks at the page, and for whoever hears it.

import { element } from "./table.js";

const longest = 50; // lines

// states returns the state of everything that has one, by its name.
function states(board) {
  const all = new Map();
  all.set("the bridge", board.status.ready ? "ready" : "not ready");
  for (const s of board.sessions?.rows ?? []) all.set(`MetalBond ${s.role} ${s.peer}`, s.state);
  for (const n of board.neighbors?.rows ?? []) all.set(`BGP neighbor ${n.address}`, n.state);
  for (const o of board.redistribution.originated) all.set(`VNI ${o.vni}, route ${o.prefix}`, o.present ? "there" : "missing");
  if (board.kernel) all.set("the kernel", board.kernel.state.synced ? "in step with the tables" : "out of step with the tables");
  return all;
}

export class Story {
  constructor(list, note) {
    this.list = list;
    this.note = note;
    this.before = null;
  }

  // read compares a board with the one before.
  read(board, now, clock) {
    const after = states(board);
    if (this.before && this.started !== board.status.started) this.tell(now, clock, "the bridge was started anew");
    for (const [name, state] of after) {
      const was = this.before?.get(name);
      if (this.before && was !== state) this.tell(now, clock, was ? `${name}: ${state}, was ${was}` : `${name}: ${state}`);
    }
    for (const [name, was] of this.before ?? []) {
      if (!after.has(name)) this.tell(now, clock, `${name}: gone, was ${was}`);
    }
    this.before = after;
    this.started = board.status.started;
  }

  tell(now, clock, words) {
    this.list.prepend(element("li", {}, element("time", { datetime: new Date(now).toISOString() }, clock(now)), words));
    while (this.list.childElementCount > longest) this.list.lastElementChild.remove();
    this.note.hidden = true;
  }
}
