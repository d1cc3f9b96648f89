"use strict";
(() => {
  // Every string that is inserted here was made and escaped in Python.
  const data = JSON.parse(document.getElementById("data").textContent);
  // Fragments that recur were packed into private-use characters.
  const whole = (text) => text.replace(/[\ue000-\uf8ff]/g, (c) => data.words[c.charCodeAt(0) - 0xe000]);
  const ids = data.ids.map(whole);
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const tools = document.querySelector(".tools");
  const filter = document.getElementById("filter");
  const where = document.getElementById("where");
  const sorters = [...table.querySelectorAll("[data-sort]")];
  const chips = [...document.querySelectorAll("[data-verdict]")];
  const PAGE = 200;
  const open = new Set();
  let order = ids.map((_, i) => i);
  let page = 0;
  let sort = null;
  let texts = null;

  const plain = document.createElement("template");
  const textOf = (i) => {
    plain.innerHTML = whole(data.html[i]).replace(/<(td|i|small)\b/g, " $&");
    return plain.content.textContent.toLowerCase();
  };

  function choose() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && !texts) texts = ids.map((_, i) => textOf(i));
    const hidden = new Set(chips.filter((c) => c.ariaPressed === "false").map((c) => Number(c.dataset.verdict)));
    order = ids.map((_, i) => i).filter((i) => !hidden.has(data.verdicts[i]) && words.every((w) => texts[i].includes(w)));
    if (sort) {
      const key = data.keys[sort.by];
      // What has no number stands last in both directions.
      order.sort((a, b) => (key[a] === null) - (key[b] === null) || sort.sign * (key[a] - key[b]) || a - b);
    }
    page = 0;
  }

  function show() {
    const first = page * PAGE;
    const shown = order.slice(first, first + PAGE);
    const wide = table.tHead.rows[0].cells.length;
    body.innerHTML = shown.map((i) => whole(data.html[i]) + (open.has(i) ? `<tr class=more><td colspan=${wide}>${whole(data.details[i])}` : "")).join("");
    let at = 0;
    for (const row of body.querySelectorAll(":scope > tr.r")) {
      const i = shown[at++];
      row.dataset.row = i;
      const link = row.querySelector("a");
      link.href = "#t=" + encodeURIComponent(ids[i]);
      link.setAttribute("aria-expanded", open.has(i));
    }
    const last = first + shown.length;
    where.textContent = order.length ? `${(first + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${order.length.toLocaleString("en")}` : "no row matches";
    document.getElementById("back").disabled = page === 0;
    document.getElementById("on").disabled = last >= order.length;
    for (const button of sorters) {
      const own = sort && sort.by === button.dataset.sort;
      button.parentElement.setAttribute("aria-sort", own ? (sort.sign > 0 ? "ascending" : "descending") : "none");
    }
  }

  function turn(step) {
    page += step;
    show();
    table.scrollIntoView();
  }

  // #t=<node id> names a test: its card where it failed, else its rows in the table, opened.
  function follow() {
    if (!location.hash.startsWith("#t=")) return;
    let id;
    try { id = decodeURIComponent(location.hash.slice(3)); } catch { return; }
    const card = document.getElementById("t=" + id);
    if (card) { card.scrollIntoView(); return; }
    const found = ids.flatMap((own, i) => (own === id ? [i] : []));
    if (!found.length) return;
    if (!order.includes(found[0])) {
      filter.value = "";
      for (const chip of chips) chip.ariaPressed = "true";
      choose();
    }
    page = Math.floor(order.indexOf(found[0]) / PAGE);
    for (const i of found) open.add(i);
    show();
    body.querySelector(`[data-row="${found[0]}"]`).scrollIntoView();
  }

  filter.addEventListener("input", () => { choose(); show(); });
  tools.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("back").addEventListener("click", () => turn(-1));
  document.getElementById("on").addEventListener("click", () => turn(1));
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.ariaPressed = chip.ariaPressed === "true" ? "false" : "true";
      choose();
      show();
    });
  }
  for (const button of sorters) {
    button.addEventListener("click", () => {
      const by = button.dataset.sort;
      sort = { by, sign: sort && sort.by === by ? -sort.sign : 1 };
      choose();
      show();
    });
  }
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr.r");
    if (!row || String(getSelection())) return;
    const i = Number(row.dataset.row);
    if (event.target.closest("a")) {
      event.preventDefault();
      history.replaceState(null, "", row.querySelector("a").getAttribute("href"));
    }
    open.has(i) ? open.delete(i) : open.add(i);
    show();
    if (event.detail === 0) body.querySelector(`[data-row="${i}"] a`).focus();
  });
  addEventListener("hashchange", follow);
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    filter.focus();
    filter.select();
  });
  filter.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    filter.value = "";
    filter.blur();
    choose();
    show();
  });
  // Paper has nothing to click on: what a failure holds folded is printed unfolded.
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("#failures details, #undecided details, #reference details")) one.open = true; });

  tools.hidden = false;
  show();
  follow();
})();
