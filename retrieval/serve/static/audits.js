// The page "Audits": all audits that are served, with their findings over releases.

import { get, onBack } from "./api.js";
import { el, fill, one } from "./dom.js";
import { finding } from "./findings.js";
import { count, shortDigest, time } from "./format.js";
import { problem } from "./parts.js";
import { address } from "./url.js";
import { chooser } from "./releases.js";

const STATES = { finished: "finished", unfinished: "not finished", edited: "edited", unreadable: "cannot be read" };

const tile = (it) => el("li", { class: "tile", dataset: { audit: it.id } },
  el("h3", {}, el("a", { href: address("/audit", { audit: it.id }) }, it.title || it.name)),
  el("p", { class: "soft" }, `${it.name}: ${STATES[it.state]}`, it.finished ? `, ${time(it.finished)}` : "", it.demonstration ? ", a demonstration, not for evidence" : ""),
  it.reason && el("p", {}, it.reason),
  it.releases.map((release) => el("div", {}, el("p", {}, el("strong", {}, release.name), el("span", { class: "soft small" }, ` ${release.encoder}`)),
    el("ul", { class: "found" }, Object.entries(release.findings).map(([name, n]) => el("li", {}, finding(name), ` ${count(n)}`))))),
  it.n_candidates > 0 && el("p", {}, `${count(it.n_candidates)} candidates for copies, ${count(it.n_undecided)} undecided`),
  it.plan && el("p", { class: "soft small" }, "Plan ", el("code", { title: it.plan }, shortDigest(it.plan)), ` registered ${time(it.registered)}`));

async function draw() {
  const { audits } = await get("/audits");
  fill(one("#list"), audits.length ? el("ul", { class: "tiles" }, audits.map(tile))
    : el("p", {}, "No audit is served. Start ", el("code", {}, "imindex serve --audit FOLDER"), "."));
  const form = one("#choose");
  one("#compare").hidden = !chooser(form, audits);
  one("#main").dataset.ready = "yes";
}

const run = () => draw().catch((error) => fill(one("#list"), problem(error, run)));
onBack(run);
run();
