// The page "Audit": the answer, findings by artist and release, candidates, and the record.

import { get, onBack, segment } from "./api.js";
import { candidates } from "./candidates.js";
import { el, fill, one } from "./dom.js";
import { finding, meanings } from "./findings.js";
import { counted, figure, shortDigest, time } from "./format.js";
import { problem, table } from "./parts.js";
import { address, change, parameter } from "./url.js";

const id = parameter("audit");
const api = `/api/v1/audits/${segment(id)}`;

async function drawMatrix(audit) {
  const index = audit.indexes[0];
  if (!index) return;
  const page = await get(address(`/indexes/${segment(index)}/artists`, { audit: id, limit: 500 }));
  const rows = page.artists.filter((it) => it.findings.length);
  if (!rows.length) return;
  const of = (it, release) => it.findings.find((one) => one.release === release);
  const sort = parameter("sort", "artist"), name = sort.replace("-", "");
  const key = (it) => (name === "artist" ? it.artist : of(it, name)?.auc ?? -1);
  rows.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (sort.startsWith("-") ? -1 : 1));
  const columns = [
    { title: "Artist", sort: "artist", cell: (it) => el("a", { href: address("/artist", { index, audit: id, name: it.artist }) }, it.artist) },
    ...audit.releases.flatMap((release) => [
      { title: release.name, cell: (it) => (of(it, release.name) ? finding(of(it, release.name).finding) : "–") },
      { title: `AUC, ${release.name}`, sort: release.name, numeric: true, cell: (it) => figure(of(it, release.name)?.auc) },
    ]),
  ];
  const section = one("#findings");
  section.hidden = false;
  fill(section, el("h2", {}, "Findings by artist"),
    audit.encoders.length > 1 && el("p", { class: "note" }, `The findings are those of ${audit.encoders.join(" and ")} in one test; the AUC is by ${audit.encoders[0]}, and no finding rests on it alone.`),
    table("Findings by artist and release", columns, rows, { sort, onsort: (to) => { change({ sort: to === "artist" ? "" : to }); drawMatrix(audit); } }),
    await meanings(new Set(rows.flatMap((it) => it.findings.map((one) => one.finding))), audit.encoders.length > 1));
}

async function drawRecord(audit) {
  const { entries } = await get(`/audits/${segment(id)}/register`);
  const section = one("#record");
  section.hidden = false;
  fill(section, el("h2", {}, "Record"),
    el("dl", { class: "facts-list" },
      [["Plan", audit.plan], ["Registered", time(audit.registered)], ["Finished", time(audit.finished)], ["Encoders", audit.encoders.join(", ")]].map(([term, text]) =>
        el("div", {}, el("dt", {}, term), el("dd", {}, term === "Plan" ? el("code", { title: text }, shortDigest(text)) : text || "–")))),
    el("p", {}, "Files: ", audit.files.map((name, place) => [place ? ", " : "", el("a", { href: `${api}/files/${segment(name)}`, download: true }, name)])),
    el("p", { class: "note" }, "Recompute every figure with ", el("code", {}, `imindex verify --results ${audit.name}`), "."),
    el("h3", {}, "Register"),
    table("Entries of the register", [
      { title: "When", cell: (it) => time(it.when) },
      { title: "Event", cell: (it) => it.event },
      { title: "By or why", cell: (it) => (it.decision ? `${it.decision.by}${it.decision.note ? `: ${it.decision.note}` : ""}` : it.why || "–") },
      { title: "Concerns", cell: (it) => (it.decision ? `${it.decision.release}, ${it.decision.imitation.split("/").at(-1)}` : `plan ${shortDigest(it.plan)}`) },
    ], entries));
}

async function draw() {
  const audit = await get(`/audits/${segment(id)}`);
  document.title = `${audit.title || audit.name} · imindex`;
  one("#title").textContent = audit.title || audit.name;
  fill(one("#about"), audit.state === "finished"
    ? [`${counted(audit.releases.length, "release")}, ${counted(audit.encoders.length, "encoder")}, finished ${time(audit.finished)}. `, el("a", { href: `${api}/report` }, "Open the report")]
    : audit.reason);
  fill(one("#answers"),
    audit.demonstration && el("p", { class: "banner" }, el("strong", {}, "Not evidence."), " An encoder of this audit is for demonstration only."),
    audit.releases.map((release) => {
      const [name, ...rest] = release.answer.split(": ");
      // All that limits the finding is shown at once; averages and encoders are behind "More".
      const sentences = rest.join(": ").split(/(?<=\.) (?=[A-Z(])/);
      const end = sentences.findIndex((text) => text.startsWith("Each finding rests") || text.startsWith("(Encoder") || text.startsWith("By "));
      const main = sentences.slice(1, end > 0 ? end : sentences.length), more = end > 0 ? sentences.slice(end) : [];
      return el("div", { class: "answer-text" },
        el("p", { class: "set" }, el("strong", {}, `${name}: ${sentences[0]}`)),
        main.length > 0 && el("p", {}, main.join(" ")),
        more.length > 0 && el("details", {}, el("summary", {}, "More about this answer"), el("p", {}, more.join(" "))));
    }),
    audit.gate.length > 0 && [el("h3", {}, "Gate"), el("ul", { class: "verdicts" }, audit.gate.map((line) => el("li", { class: "undecided" }, line)))]);
  if (audit.state === "finished") {
    await drawMatrix(audit);
    await candidates(one("#candidates"), id).catch((error) => { one("#candidates").hidden = false; fill(one("#candidates"), problem(error)); });
  }
  await drawRecord(audit);
  one("#main").dataset.ready = "yes";
}

const run = () => draw().catch((error) => fill(one("#answers"), problem(error, run)));
onBack(run);
run();
