// Runs before anything is drawn, so that nobody who reads in the dark is flashed at.
"use strict";
(() => {
  const names = ["system", "light", "dark"];
  let now = "system";
  try { now = localStorage.getItem("theme") ?? now; } catch { /* a browser that keeps nothing */ }
  const set = (name) => {
    now = names.includes(name) ? name : "system";
    document.documentElement.dataset.theme = now;
    const button = document.getElementById("theme");
    if (button) {
      button.textContent = `Theme: ${now === "system" ? "auto" : now}`;
    }
  };
  set(now);
  addEventListener("DOMContentLoaded", () => {
    set(now);
    document.getElementById("theme").addEventListener("click", () => {
      set(names[(names.indexOf(now) + 1) % names.length]);
      try { localStorage.setItem("theme", now); } catch { /* it lasts until the page is left */ }
    });
  });
})();
