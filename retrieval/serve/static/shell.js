// What every page does: the theme, the chosen index, and large pictures.

import { one } from "./dom.js";
import { keepIndex, lightbox } from "./parts.js";

const order = ["system", "light", "dark"];
const button = one("#theme");

function apply(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  button.textContent = `Theme: ${theme}`;
}

let theme = order.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "system";
apply(theme);
button.addEventListener("click", () => {
  theme = order[(order.indexOf(theme) + 1) % order.length];
  localStorage.setItem("theme", theme);
  apply(theme);
});
keepIndex();
lightbox();
