// Two pictures over each other, with an edge that moves.

import { el } from "./dom.js";
import { picture } from "./parts.js";

/**
 * Return a slider between two rows of an index.
 * Each side is {row, label, alt}. The range input moves the edge, by mouse and by keyboard.
 */
export function slider(index, left, right) {
  const layer = el("div", { class: "layer" }, picture(index, left.row, left.alt, { side: 640 }));
  const edge = el("div", { class: "edge", "left%": 50 });
  const range = el("input", {
    type: "range", min: "0", max: "100", value: "50", "aria-label": `Edge between ${left.label} and ${right.label}`,
    oninput: () => move(Number(range.value)),
  });
  function move(share) {
    layer.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    edge.style.left = `${share}%`;
    range.setAttribute("aria-valuetext", `${share} % ${left.label}, ${100 - share} % ${right.label}`);
  }
  const made = el("div", { class: "slider" },
    el("div", { class: "stage" }, el("div", { class: "layer" }, picture(index, right.row, right.alt, { side: 640 })), layer, edge),
    range,
    el("div", { class: "ends" }, el("span", {}, left.label), el("span", {}, right.label)));
  move(50);
  return made;
}
