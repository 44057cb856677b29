"use strict";
(() => {
  // Tables: a head is a button that sorts by value, whatever the unit it is written in.
  const UNITS = { b: 1, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40, ns: 1, us: 1e3, "\u00b5s": 1e3, ms: 1e6, s: 1e9, "%": 1 };
  const FIGURE = /^([<>~]?\s*)([-+]?[\d,]*\.?\d+)\s*([a-z\u00b5%]*)/i;
  const value = (text) => {
    const found = FIGURE.exec(text.trim());
    if (!found) return NaN;
    const unit = UNITS[found[3].toLowerCase()];
    return Number(found[2].replaceAll(",", "")) * (unit === undefined ? 1 : unit);
  };
  const compare = (a, b, way) => {
    // What is not known comes last, either way.
    const unknown = (v) => /^[-\u2013/]*$/.test(v.text);
    if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
    if (a.is_figure && b.is_figure) return way * (a.value - b.value);
    return way * a.text.localeCompare(b.text, "en", { numeric: true });
  };
  const sort = (table, column, way) => {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row, place) => {
      const cell = row.cells[column];
      const text = cell.textContent.trim();
      const v = value(text);
      return { row, place, text, value: v, is_figure: cell.classList.contains("n") && !Number.isNaN(v) };
    });
    rows.sort((a, b) => compare(a, b, way) || a.place - b.place);
    body.append(...rows.map((r) => r.row));
  };
  for (const table of document.querySelectorAll("table")) {
    const heads = table.tHead ? Array.from(table.tHead.rows[0].cells) : [];
    if (table.tBodies.length !== 1 || table.tBodies[0].rows.length < 2) continue;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const is_up = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", is_up ? "descending" : "ascending");
        sort(table, column, is_up ? -1 : 1);
      });
    });
  }

  // Plots: the value of the mark that is nearest to the pointer, or chosen by arrow keys.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  const NEAR_PX = 24;
  let shown = null;
  const hide = () => {
    if (shown) shown.classList.remove("on");
    shown = null;
    tip.hidden = true;
  };
  const show = (mark) => {
    if (shown === mark) return;
    hide();
    shown = mark;
    mark.classList.add("on");
    tip.textContent = mark.dataset.says;
    tip.hidden = false;
    const at = mark.getBoundingClientRect();
    const width = tip.offsetWidth, height = tip.offsetHeight, room = document.documentElement.clientWidth;
    const left = Math.min(Math.max(at.left + at.width / 2 - width / 2, 4), Math.max(room - width - 4, 4));
    const above = at.top - height - 4;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 0 ? above : at.bottom + 4) + scrollY}px`;
  };
  const marks = new WeakMap();
  // The browser's own hint would show a second time what the tip says.
  const ready = (chart) => {
    if (marks.has(chart)) return marks.get(chart);
    const all = Array.from(chart.querySelectorAll(".h circle"));
    for (const mark of all) {
      const title = mark.querySelector("title");
      mark.dataset.says = title.textContent;
      title.remove();
    }
    marks.set(chart, all);
    return all;
  };
  const nearest = (chart, event) => {
    let best = null, least = NEAR_PX;
    for (const mark of ready(chart)) {
      const at = mark.getBoundingClientRect();
      const away = Math.hypot(at.left + at.width / 2 - event.clientX, at.top + at.height / 2 - event.clientY);
      if (away < least) [best, least] = [mark, away];
    }
    return best;
  };
  for (const chart of document.querySelectorAll("svg.chart")) {
    if (!chart.querySelector(".h circle")) continue;
    chart.setAttribute("tabindex", "0");
    const point = (event) => {
      const mark = nearest(chart, event);
      if (mark) show(mark);
      else hide();
    };
    chart.addEventListener("pointermove", point);
    chart.addEventListener("pointerdown", point);
    chart.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") hide();
    });
    chart.addEventListener("focus", () => {
      if (chart.matches(":focus-visible")) show(ready(chart)[0]);
    });
    chart.addEventListener("blur", hide);
    chart.addEventListener("keydown", (event) => {
      const all = ready(chart);
      const here = all.indexOf(shown);
      const places = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 };
      if (event.key === "Escape") hide();
      if (!(event.key in places)) return;
      event.preventDefault();
      show(all[(places[event.key] + all.length) % all.length]);
    });
  }
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("svg.chart")) hide();
  });
  for (const hint of document.querySelectorAll(".hint")) hint.hidden = false;
})();
