// The page "Artist": findings, ranks, works, and imitations by release side by side.

import { get, indexes, onBack, segment } from "./api.js";
import { candidates } from "./candidates.js";
import { el, fill, one, put } from "./dom.js";
import { CORRECTIONS, corrected, finding, meanings, withSpan } from "./findings.js";
import { count, counted, percent, pValue } from "./format.js";
import { armInWords, picture, pictureOf, problem, table, withPictures } from "./parts.js";
import { slider } from "./slider.js";
import { address, change, onReturn, parameter } from "./url.js";

const MOST = 500;
const FIRST = 24;
let index = null;
const artist = parameter("name");

const rowsOf = (kind, collection) => get(address(`/indexes/${segment(index.id)}/rows`, { artist, kind, collection, limit: MOST }));

const card = (it, label) => el("li", { class: "card" },
  el("a", { class: "picture", href: withPictures ? pictureOf(index.id, it.row) : null, dataset: { large: String(it.row), index: index.id }, "aria-label": `${label}, ${it.path.split("/").at(-1)}. Show it large.` },
    picture(index.id, it.row, "")),
  el("a", { class: "again", href: address("/ask", { index: index.id, row: it.row }) }, "Ask with this", el("span", { class: "visually-hidden" }, ` picture, ${it.path.split("/").at(-1)}`)));

function gallery(rows, total, label) {
  const list = el("ul", { class: "cards" }, rows.slice(0, FIRST).map((it) => card(it, label)));
  if (rows.length <= FIRST) return list;
  const more = el("button", { type: "button", onclick: () => { put(list, rows.slice(FIRST).map((it) => card(it, label))); more.remove(); } },
    total > rows.length ? `Show ${count(rows.length)} of ${count(total)}` : `Show all ${count(total)}`);
  return [list, el("p", {}, more)];
}

// Findings.

async function drawFindings(audit) {
  let found;
  try {
    found = await get(`/audits/${segment(audit)}/artists/${segment(artist)}`);
  } catch (error) {
    if (error.status === 404) return;
    one("#findings").hidden = false;
    fill(one("#findings"), problem(error));
    return;
  }
  const { results } = found;
  const together = results.some((it) => it.together);
  const columns = [
    { title: "Release", cell: (it) => it.release },
    { title: "Encoder", cell: (it) => (it.leading && together ? `${it.encoder}, in one test` : it.leading ? it.encoder : `${it.encoder} alone`) },
    { title: "Finding", cell: (it) => (it.leading ? el("strong", {}, finding(it.result.finding)) : finding(it.result.finding)) },
    { title: "AUC (interval)", cell: (it) => (it.leading && together ? "–" : withSpan(it.result.auc, it.result.auc_low, it.result.auc_high)) },
    { title: "Against invented names", numeric: true, cell: (it) => pValue(it.result.p_name) },
    { title: "Against other real names", numeric: true, cell: (it) => pValue(it.result.p_rival) },
    { title: "p after correction", numeric: true, cell: (it) => corrected(it.result.p_adjusted) },
  ];
  const section = one("#findings");
  section.hidden = false;
  fill(section, el("h2", {}, "Findings"),
    el("p", { class: "note" }, `By the audit `, el("a", { href: address("/audit", { audit }) }, audit),
      `, at level ${percent(found.level, 0)} after ${CORRECTIONS[found.adjust] ?? found.adjust} correction. `,
      together ? "The findings of the audit are those of all encoders in one test; an encoder alone is shown beside it." : ""),
    table(`Findings for ${artist}`, columns, results),
    await meanings(new Set(results.map((it) => it.result.finding)), together));
  drawRanks(results.filter((it) => !it.leading || !together));
}

function drawRanks(results) {
  const known = results.filter((it) => it.result.rank_histogram?.some((n) => n));
  if (!known.length) return;
  const section = one("#ranks");
  section.hidden = false;
  fill(section, el("h2", {}, "Ranks of the artist’s imitations"),
    el("p", { class: "note" }, "For each work, all imitations of the release are ranked, the nearest first. The bars count the ranks of the artist’s own imitations: far left is nearest. If the name made no difference, the bars would be about level."),
    el("div", { class: "bars" }, known.map((it) => {
      const bins = it.result.rank_histogram, most = Math.max(...bins), total = bins.reduce((sum, n) => sum + n, 0);
      const first = bins.slice(0, Math.ceil(bins.length / 10)).reduce((sum, n) => sum + n, 0);
      return el("figure", { role: "img", "aria-label": `${it.release}, ${it.encoder}: ${percent(first / total, 0)} of the ranks are in the nearest tenth` },
        el("figcaption", {}, el("strong", {}, it.release), `, ${it.encoder}: ${percent(first / total, 0)} in the nearest tenth`),
        el("div", { class: "bins", "aria-hidden": "true" }, bins.map((n) => { const bin = el("span", { class: "bin" }); bin.style.height = `${(100 * n) / most}%`; return bin; })),
        el("div", { class: "scale", "aria-hidden": "true" }, el("span", {}, "nearest"), el("span", {}, "farthest")));
    })));
}

// Pictures.

function drawBeside(works, releases) {
  const section = one("#beside"), shown = releases.filter((it) => it.rows.length);
  if (!shown.length || (!works.length && shown.length < 2)) return;
  section.hidden = false;
  const choices = el("div", { class: "tools" }), stage = el("div", { class: "sliders" });
  const option = (it, label) => el("option", { value: String(it.row) }, label);
  const side = (name, title) => el("label", {}, title, el("select", { id: name, onchange: (event) => { change({ [name]: event.target.value }, { replace: true }); draw(); } },
    works.length && el("optgroup", { label: "Works" }, works.slice(0, 100).map((it) => option(it, it.path.split("/").at(-1)))),
    shown.map((release) => el("optgroup", { label: release.name }, release.rows.slice(0, 100).map((it, place) => option(it, `${release.name} ${place + 1}`))))));
  const all = new Map([...works.map((it) => [String(it.row), { ...it, label: `work ${it.path.split("/").at(-1)}` }]),
    ...shown.flatMap((release) => release.rows.map((it, place) => [String(it.row), { ...it, label: `${release.name} ${place + 1}` }]))]);
  put(choices, side("left", "Left"), side("right", "Right"));
  const paired = shown.length > 1 ? twin(shown[0].rows[0], shown[1].rows) : null;
  const first = shown.length > 1 ? shown[0].rows[0] : works[0], second = paired ?? shown.at(-1).rows[0];
  const draw = () => {
    const left = all.get(one("#left").value), right = all.get(one("#right").value);
    const same = left.prompt && left.prompt === right.prompt && left.seed === right.seed && left.collection !== right.collection;
    fill(stage, slider(index.id, { row: left.row, label: left.label, alt: `Left: ${left.label}` }, { row: right.row, label: right.label, alt: `Right: ${right.label}` }),
      same && el("p", { class: "note" }, `Same prompt (“${left.prompt}”) and same seed.`));
  };
  fill(section, el("h2", {}, "Side by side"), choices, stage);
  one("#left").value = all.has(parameter("left")) ? parameter("left") : String(first.row);
  one("#right").value = all.has(parameter("right")) ? parameter("right") : String(second.row);
  draw();
}

/** Return the picture of another release that was made with the same prompt and seed. */
const twin = (it, rows) => rows.find((other) => it.prompt && other.prompt === it.prompt && other.seed === it.seed && it.seed !== "-1") ?? null;

function drawPictures(works, worksTotal, releases) {
  const prompts = [...new Set(releases.flatMap((it) => it.rows.map((row) => row.prompt)))].filter(Boolean);
  fill(one("#works"), worksTotal > 0 && [el("h2", {}, counted(worksTotal, "work")), gallery(works, worksTotal, `Work by ${artist}`)]);
  fill(one("#imitations"), releases.length > 0 && [
    el("h2", {}, "Imitations by release"),
    prompts.length > 0 && el("p", { class: "note" }, `Asked for with ${prompts.slice(0, 4).map((text) => `“${text}”`).join(", ")}${prompts.length > 4 ? ` and ${counted(prompts.length - 4, "further prompt")}` : ""}.`),
    el("div", { class: "columns" }, releases.map((it) => el("section", { "aria-label": it.name },
      el("h3", {}, `${it.name}: ${counted(it.total, "picture")}`), gallery(it.rows, it.total, `Imitation of ${artist}, ${it.name}`))))]);
}

async function start() {
  const listed = await indexes();
  index = listed.find((it) => it.id === parameter("index")) ?? (parameter("index") ? null : listed[0]);
  one("#name").textContent = artist || "Artist";
  document.title = `${artist} · imindex`;
  if (!index) { fill(one("#about"), "This index is not served. Choose another one."); return; }
  one("#back").href = address("/artists", { index: index.id });
  const about = await get(`/indexes/${segment(index.id)}/artists/${segment(artist)}`);
  const arms = about.arms.map(armInWords).filter(Boolean);
  fill(one("#about"), arms.length ? `${arms.join(", ")}; ` : "", `${counted(about.works, "work")}`,
    about.background ? `, ${counted(about.background, "background work")}` : "", " and ",
    counted(Object.values(about.imitations).reduce((sum, n) => sum + n, 0), "imitation"), ` in ${index.name}.`);
  const audit = parameter("audit") || index.audit;
  const [works, ...shots] = await Promise.all([
    about.works ? rowsOf("works", "") : rowsOf("background", ""),
    ...Object.keys(about.imitations).map(async (name) => ({ name, page: await rowsOf("imitations", name) })),
  ]);
  const releases = shots.map(({ name, page }) => ({ name, rows: page.rows, total: page.total }));
  drawPictures(works.rows, works.total, releases);
  drawBeside(works.rows, releases);
  if (audit) {
    await drawFindings(audit);
    await candidates(one("#candidates"), audit, artist).catch(() => null);
  }
  one("#main").dataset.ready = "yes";
}

const run = () => start().catch((error) => { fill(one("#about"), problem(error, () => location.reload())); });
onReturn(run);
onBack(run);
run();
