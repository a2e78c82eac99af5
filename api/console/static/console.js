// What the console does in a browser beyond links and forms: keys, live lists, hints.
// Every page works without it.
"use strict";
(() => {
  document.documentElement.classList.add("scripted");
  const $ = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // -------------------------------------------------------------- keys

  const items = () => all("[data-list] [data-item]");
  const isTyping = (element) => element.matches("input, select, textarea, [contenteditable]");
  const GO = { o: "/", a: "/alerts", r: "/rules", d: "/destinations" };
  let going = 0;

  function move(by) {
    const rows = items();
    if (!rows.length) return;
    const row = document.activeElement.closest("tr, li");
    const at = rows.findIndex((one) => row && row.contains(one));
    const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
    rows[next].focus();
  }

  function acknowledge() {
    const row = document.activeElement.closest("tr");
    const button = row ? $("[data-acknowledge]", row) : $("main [data-acknowledge]");
    if (button && (row || !$("[data-list] [data-acknowledge]"))) button.click();
  }

  function showKeys() {
    const dialog = $("#keys");
    if (!dialog.open) dialog.showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const isGoing = Date.now() - going < 1500;
    going = 0;
    if (isGoing && GO[event.key]) { location.assign(GO[event.key]); return; }
    const act = {
      j: () => move(1), k: () => move(-1), a: acknowledge, "?": showKeys,
      g: () => { going = Date.now(); },
      "/": () => $("[data-filter]")?.focus(),
    }[event.key];
    if (act) { act(); event.preventDefault(); }
  });
  $("[data-keys]")?.addEventListener("click", showKeys);

  // -------------------------------------------------------------- theme

  $("[data-theme-form] select")?.addEventListener("change", (event) => event.target.form.submit());

  // -------------------------------------------------------------- live lists

  const announce = (words) => { $("#announce").textContent = words; };
  const connected = (is) => {
    const line = $("[data-connection]");
    if (!line) return;
    line.classList.toggle("on", is);
    line.classList.toggle("off", !is);
    $("[data-connection-words]").textContent = is ? "Live: new alerts appear by themselves." : "Not connected; trying again.";
  };
  let isConnected = null;
  let kept = null;

  document.addEventListener("htmx:sseOpen", () => connected((isConnected = true)));
  document.addEventListener("htmx:sseError", () => connected((isConnected = false)));
  document.addEventListener("htmx:sseMessage", (event) => {
    if (event.detail.type !== "opened") return;
    const alert = JSON.parse(event.detail.data);
    announce(`New alert, ${alert.severity}: ${alert.title}`);
  });

  // A list that is exchanged keeps the row that has the focus.
  document.addEventListener("htmx:beforeSwap", () => {
    const row = document.activeElement.closest("tr[data-id]");
    kept = { id: row?.dataset.id, rows: all("tr[data-id]").map((one) => one.dataset.id) };
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (isConnected !== null) connected(isConnected);
    if (!kept) return;
    const known = new Set(kept.rows);
    const rows = all("tr[data-id]");
    for (const row of rows) if (!known.has(row.dataset.id)) row.classList.add("fresh");
    if (kept.id) {
      const same = rows.find((row) => row.dataset.id === kept.id) ?? rows[kept.rows.indexOf(kept.id)];
      same && $("[data-item]", same)?.focus({ preventScroll: true });
    }
    kept = null;
  });

  // -------------------------------------------------------------- evidence

  const rowOf = (mark) => document.getElementById(`event-${mark.dataset.event}`);

  function tip(mark) {
    const made = document.createElement("div");
    made.className = "tip";
    for (const field of all(".key", rowOf(mark)).slice(0, 14)) {
      const line = document.createElement("div");
      line.textContent = field.textContent.trim();
      made.append(line);
    }
    document.body.append(made);
    const box = mark.getBoundingClientRect();
    const left = Math.min(box.left + scrollX, scrollX + innerWidth - made.offsetWidth - 12);
    made.style.left = `${Math.max(scrollX + 8, left)}px`;
    made.style.top = `${box.bottom + scrollY + 6}px`;
    return made;
  }

  for (const mark of all(".mark[data-event]")) {
    let shown = null;
    const show = () => { shown ??= tip(mark); rowOf(mark)?.classList.add("lit"); };
    const hide = () => { shown?.remove(); shown = null; rowOf(mark)?.classList.remove("lit"); };
    mark.addEventListener("mouseenter", show);
    mark.addEventListener("mouseleave", hide);
    mark.addEventListener("focus", show);
    mark.addEventListener("blur", hide);
    const row = rowOf(mark);
    row?.addEventListener("mouseenter", () => mark.classList.add("lit"));
    row?.addEventListener("mouseleave", () => mark.classList.remove("lit"));
  }
})();
