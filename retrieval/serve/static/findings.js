// Findings, as the report names them.

import { get } from "./api.js";
import { el } from "./dom.js";
import { figure, pValue } from "./format.js";

const KIND = {
  "imitated": "imitated",
  "name effect; specificity not shown": "effect",
  "name effect; specificity not testable": "effect",
  "nearer than other artists": "other",
  "nearer than pooled works": "other",
  "not shown": "none",
};

/** Return a finding with its mark. The words carry the meaning, and the mark repeats it. */
export const finding = (name) =>
  el("span", { class: "finding" }, el("span", { class: `dot ${KIND[name] ?? "unknown"}`, "aria-hidden": "true" }), name);

/** Return a figure with its interval. */
export const withSpan = (value, low, high) => [figure(value),
  low !== null && low !== undefined && high !== null && high !== undefined
    ? el("span", { class: "span" }, ` (${figure(low)} to ${figure(high)})`) : ""];

/** Return a list of what the findings that occur say. */
export async function meanings(occurring, together) {
  const { findings } = await get(`/findings?together=${together}`);
  return el("details", { class: "meaning-of-findings" }, el("summary", {}, "What the findings say"),
    el("dl", { class: "meanings" }, findings.filter((it) => occurring.has(it.finding)).map((it) =>
      el("div", {}, el("dt", {}, finding(it.finding)), el("dd", {}, it.meaning)))));
}

/** The correction of the tests, in words. */
export const CORRECTIONS = { holm: "Holm", bh: "Benjamini-Hochberg", by: "Benjamini-Yekutieli" };

/** A p-value after correction, or a dash. */
export const corrected = (value) => pValue(value);
