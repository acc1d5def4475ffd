"use strict";
const toggle = document.getElementById("open-all");
toggle.hidden = false;
toggle.addEventListener("click", () => {
  const isOpen = toggle.getAttribute("aria-pressed") === "true";
  toggle.setAttribute("aria-pressed", String(!isOpen));
  toggle.textContent = isOpen ? "Open all examples" : "Close all examples";
  for (const each of document.querySelectorAll("details.example, details.held")) each.open = !isOpen;
});
