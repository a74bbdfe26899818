// Tables whose rows keep their place in the document while what they show
// changes, so that the focus, a selection and the eye stay where they are.
//
// A cell is nothing (null, "" or 0 where a column says so), a text or number, or
// an object:
//
//   {text, mono, mark, title}   mark: ok, bad, warn, idle
//   {lines: [cell, ...]}        one below the other
//   {text, href}                a link
//   {button, ask}               ask: what the listener of the table gets
//
// Whatever comes from outside becomes a text node.

// element makes an element with attributes and children, of which texts become
// text nodes.
export function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== "") e.setAttribute(key, value);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

// Table keeps the rows of the body of a table, by the key of each.
export class Table {
  constructor(id, key, columns) {
    this.table = document.getElementById(id);
    this.body = this.table.tBodies[0];
    this.heads = [...this.table.tHead.rows[0].cells];
    this.key = key;
    this.columns = columns;
    this.rows = new Map();
    // As a phone shows it, it is no table to a browser any more.
    this.table.setAttribute("role", "table");
    for (const head of this.heads) {
      head.setAttribute("scope", "col");
      head.setAttribute("role", "columnheader");
    }
  }

  show(list) {
    const left = new Map(this.rows);
    let before = this.body.firstElementChild;
    for (const data of list) {
      let key = String(this.key(data));
      while (this.rows.has(key) && !left.has(key)) key += "'"; // two of one name
      let row = this.rows.get(key);
      if (!row) {
        row = this.newRow();
        this.rows.set(key, row);
      }
      left.delete(key);
      this.columns.forEach((column, i) => paint(row.cells[i], column(data)));
      if (row === before) before = before.nextElementSibling;
      else this.body.insertBefore(row, before);
    }
    for (const [key, row] of left) {
      row.remove();
      this.rows.delete(key);
    }
    this.table.hidden = list.length === 0;
  }

  newRow() {
    const row = element("tr", { role: "row" });
    for (const head of this.heads) {
      row.append(element("td", { role: "cell", "data-label": head.textContent, class: head.className }));
    }
    return row;
  }
}

// paint shows a value in a cell if it is another one than before.
function paint(cell, value) {
  if (value === undefined || value === "") value = null;
  const now = JSON.stringify(value);
  if (cell.shown === now) return;
  cell.shown = now;
  cell.classList.toggle("none", value === null);
  cell.replaceChildren(content(value));
}

function content(value) {
  if (value === null) return document.createTextNode("\u2013");
  if (typeof value !== "object") return document.createTextNode(String(value));
  if (value.lines) {
    const all = element("div");
    for (const line of value.lines) all.append(element("div", {}, content(line)));
    return all;
  }
  if (value.button) return element("button", { type: "button", "data-ask": JSON.stringify(value.ask), "aria-label": value.title }, value.button);
  const attributes = { class: value.mono ? "mono" : "", "data-mark": value.mark, title: value.title };
  if (value.href) return element("a", { ...attributes, href: value.href }, value.text);
  return element("span", attributes, String(value.text));
}
