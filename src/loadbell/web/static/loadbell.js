// What script adds to the pages; each of them works without it. Everything is found by attributes, also in parts that
// come later: data-copy, data-needs, data-ago, data-whole, data-mine.
"use strict";

(() => {
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

  function ago(instant, now) {
    const seconds = Math.floor(Math.abs(now - instant) / 1000);
    const unit = UNITS.find(([, size]) => seconds >= size);
    if (!unit) return instant <= now ? "just now" : "in a moment";
    const [name, size] = unit;
    const past = instant <= now;
    const count = past ? Math.floor(seconds / size) : Math.ceil(seconds / size);
    const span = `${count} ${name}${count === 1 ? "" : "s"}`;
    return past ? `${span} ago` : `in ${span}`;
  }

  // Relative times grow old while a page is open.
  function refreshTimes() {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const text = ago(Date.parse(time.dateTime), now);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // <button data-needs="ID ID2"> is disabled while each of the fields is empty.
  function refreshButtons() {
    for (const button of document.querySelectorAll("button[data-needs]")) {
      button.disabled = button.dataset.needs.split(" ").every((id) => !document.getElementById(id)?.value.trim());
    }
  }

  function prepare() {
    for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
    refreshButtons();
    refreshTimes();
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const text = source.value ?? source.textContent;
    const label = button.innerHTML;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Browsers give no clipboard to pages over plain HTTP of another host: select it, so that Ctrl-C copies it.
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected: press Ctrl-C";
    }
    setTimeout(() => { button.innerHTML = label; }, 2500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("input", refreshButtons);
  // <button data-busy="Testing…"> shows this text while its form is being sent.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button?.dataset.busy) button.textContent = button.dataset.busy;
  });
  // A field with a masked value is replaced as a whole.
  document.addEventListener("focusin", (event) => {
    if (event.target.matches("input[data-whole]")) event.target.select();
  });
  // Ticking a box of "My choice" chooses it, and choosing another unticks them: what is ticked is what is saved.
  document.addEventListener("change", (event) => {
    const field = event.target;
    const form = field.form;
    if (field.matches("[data-mine]") && field.checked) {
      form.querySelector('input[name="quick"][value="mine"]').checked = true;
    } else if (field.name === "quick" && field.value !== "mine") {
      for (const box of form.querySelectorAll("[data-mine]")) box.checked = false;
    }
  });
  document.addEventListener("htmx:afterSwap", prepare);
  document.addEventListener("htmx:sseMessage", prepare);
  setInterval(refreshTimes, 30000);
  prepare();
})();
