// The form that chooses two releases to compare.

import { el, fill } from "./dom.js";
import { parameter } from "./url.js";

/** Fill a form with the releases of finished audits. Returns whether there are two or more. */
export function chooser(form, audits) {
  const finished = audits.filter((it) => it.state === "finished");
  const releases = finished.flatMap((it) => it.releases.map((release) => ({ value: `${it.id}:${release.name}`, group: it, label: release.name })));
  if (releases.length < 2) return false;
  const encoders = [...new Set(finished.flatMap((it) => it.encoders))];
  const choice = (name, title, chosen) => el("label", {}, title, el("select", { name },
    finished.map((it) => el("optgroup", { label: it.title || it.name }, releases.filter((one) => one.group === it).map((one) =>
      el("option", { value: one.value, selected: one.value === chosen }, one.label))))));
  fill(form,
    choice("base", "Base", parameter("base") || releases[0].value),
    choice("new", "New", parameter("new") || releases[1].value),
    encoders.length > 1 && el("label", {}, "Encoder", el("select", { name: "encoder" }, encoders.map((name) => el("option", { value: name, selected: name === parameter("encoder") }, name)))),
    el("label", {}, "Fail if (optional)", el("input", { name: "fail_if", value: parameter("fail_if"), placeholder: "auc.beyond.low > 0", autocomplete: "off" })),
    el("button", { type: "submit", class: "main" }, "Compare"));
  return true;
}
