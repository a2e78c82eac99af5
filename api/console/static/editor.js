// The rule editor: line numbers, indenting, and from a diagnostic to its place.
"use strict";
(() => {
  const text = document.querySelector("#text");
  const lines = document.querySelector("[data-lines]");
  let leaving = false;

  function number() {
    const count = text.value.split("\n").length;
    lines.textContent = Array.from({ length: count }, (_, index) => index + 1).join("\n");
    lines.scrollTop = text.scrollTop;
  }

  function goTo(line, column) {
    const before = text.value.split("\n").slice(0, line - 1).join("\n").length;
    const at = Math.min(text.value.length, before + (line > 1 ? 1 : 0) + column - 1);
    text.focus();
    text.setSelectionRange(at, at);
    text.scrollTop = Math.max(0, (line - 6) * parseFloat(getComputedStyle(text).lineHeight));
  }

  text.addEventListener("input", number);
  text.addEventListener("scroll", () => { lines.scrollTop = text.scrollTop; });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Tab" && !event.shiftKey && !leaving) {
      text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
      text.dispatchEvent(new Event("input", { bubbles: true }));
      event.preventDefault();
    }
    leaving = event.key === "Escape";
    if (leaving) event.stopPropagation();
  });
  document.addEventListener("click", (event) => {
    const place = event.target.closest("[data-line]");
    if (!place) return;
    event.preventDefault();
    goTo(Number(place.dataset.line), Number(place.dataset.column));
  });
  number();
})();
