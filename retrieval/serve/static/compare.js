// The page "Compare": what changed from one release to another.

import { get, onBack } from "./api.js";
import { el, fill, one } from "./dom.js";
import { CORRECTIONS, finding } from "./findings.js";
import { counted, figure, pValue } from "./format.js";
import { problem, table } from "./parts.js";
import { chooser } from "./releases.js";
import { address, change, onReturn, parameter, values } from "./url.js";

const signed = (value) => (value === null || value === undefined ? "–" : `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(3)}`);
const between = (low, high) => (low === null || low === undefined || high === null || high === undefined ? "" : el("span", { class: "span" }, ` (${signed(low)} to ${signed(high)})`));

async function answer() {
  const base = parameter("base"), next = parameter("new");
  if (!base || !next) return;
  fill(one("#answer"), el("p", { class: "soft" }, "Comparing. This can take some seconds…"));
  const { sentence, result } = await get(address("/compare", { base, new: next, encoder: parameter("encoder"), fail_if: values("fail_if").filter(Boolean) }));
  const sort = parameter("sort", "-change"), falling = sort.startsWith("-") ? -1 : 1, name = sort.replace("-", "");
  const key = { artist: (it) => it.artist, change: (it) => it.auc_change ?? -9, beyond: (it) => it.auc_beyond ?? -9, p: (it) => it.p_auc ?? 9 }[name] ?? ((it) => it.artist);
  const rows = [...result.artists].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * falling);
  const correction = result.testing.adjust;
  fill(one("#answer"),
    result.demonstration && el("p", { class: "banner" }, el("strong", {}, "Not evidence."), " An encoder is for demonstration only."),
    el("p", { class: "set" }, sentence),
    result.gate.length > 0 && [el("h2", {}, "Conditions"), el("ul", { class: "verdicts" }, result.gate.map((it) =>
      el("li", { class: it.outcome }, el("strong", {}, it.outcome), ` ${it.reason}`)))],
    el("h2", {}, "By artist"),
    el("p", { class: "note" }, "A change of the AUC means that the pictures made for the artist came nearer to the artist’s works, or went farther, than those made for others. Beyond: the change less the mean change of invented names between the same releases. p tests it by the changes of invented names; ", `after ${CORRECTIONS[correction] ?? correction} correction it is in the last column.`),
    table("Changes by artist", [
      { title: "Artist", sort: "artist", cell: (it) => it.artist },
      { title: "Finding, base", cell: (it) => (it.finding_base ? finding(it.finding_base) : "–") },
      { title: "Finding, new", cell: (it) => (it.finding_new ? finding(it.finding_new) : "–") },
      { title: "AUC, base", numeric: true, cell: (it) => figure(it.auc_base) },
      { title: "AUC, new", numeric: true, cell: (it) => figure(it.auc_new) },
      { title: "Change (interval)", sort: "change", numeric: true, cell: (it) => [signed(it.auc_change), between(it.auc_low, it.auc_high)] },
      { title: "Beyond invented names", sort: "beyond", numeric: true, cell: (it) => [signed(it.auc_beyond), between(it.auc_beyond_low, it.auc_beyond_high)] },
      { title: "p", sort: "p", numeric: true, cell: (it) => pValue(it.p_auc) },
      { title: "p after correction", numeric: true, cell: (it) => pValue(it[`p_auc_${correction}`]) },
    ], rows, { sort, onsort: (to) => { change({ sort: to }); run(); } }),
    result.left_out.length > 0 && el("p", { class: "note" }, `${counted(result.left_out.length, "artist")} not compared: ${result.left_out.map((it) => `${it.artist} (${it.why})`).join(", ")}.`),
    result.notes.length > 0 && el("details", {}, el("summary", {}, "What the figures rest on"), el("ul", {}, result.notes.map((text) => el("li", {}, text)))));
}

async function start() {
  const { audits } = await get("/audits");
  const form = one("#choose");
  if (!chooser(form, audits)) {
    fill(one("#answer"), el("p", {}, "There are fewer than two releases in finished audits."));
  } else {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const given = new FormData(form);
      change({ base: given.get("base"), new: given.get("new"), encoder: given.get("encoder") ?? "", fail_if: given.get("fail_if") });
      run();
    });
    await answer();
  }
  one("#main").dataset.ready = "yes";
}

const run = () => answer().catch((error) => fill(one("#answer"), problem(error, error.status === 422 ? null : run)));
onReturn(run);
onBack(run);
start().catch((error) => fill(one("#answer"), problem(error, () => location.reload())));
