// The page "Artists": all names of an index, with what audits found.

import { get, indexes, onBack, segment } from "./api.js";
import { el, fill, one, put } from "./dom.js";
import { count, figure } from "./format.js";
import { finding } from "./findings.js";
import { armInWords, pager, problem, table } from "./parts.js";
import { address, change, onReturn, parameter } from "./url.js";

const PAGE = 50;
let index = null;

const number = (name) => Math.max(0, Number(parameter(name, "0")) || 0);

async function draw() {
  const list = one("#list"), offset = number("offset"), sort = parameter("sort", "artist");
  const page = await get(address(`/indexes/${segment(index.id)}/artists`, {
    search: parameter("search"), arm: parameter("arm"), finding: parameter("finding"), sort, offset, limit: PAGE,
  }));
  const releases = [...new Set(page.artists.flatMap((it) => it.findings.map((one) => one.release)))];
  const shots = index.collections.filter((it) => it.kind === "imitations").map((it) => it.name);
  const of = (it, release) => it.findings.find((one) => one.release === release);
  const columns = [
    { title: "Artist", sort: "artist", cell: (it) => [el("a", { href: address("/artist", { index: index.id, name: it.artist }) }, it.artist),
      it.arms.map(armInWords).filter(Boolean).map((arm) => el("span", { class: "soft small" }, ` ${arm}`))] },
    { title: "Works", sort: "works", numeric: true, cell: (it) => count(it.works + it.background) },
    ...(shots.length > 2
      ? [{ title: "Imitations", sort: "imitations", numeric: true, cell: (it) => count(Object.values(it.imitations).reduce((sum, n) => sum + n, 0)) }]
      : shots.map((name) => ({ title: `Imitations, ${name}`, sort: "imitations", numeric: true, cell: (it) => count(it.imitations[name] ?? 0) }))),
    ...releases.map((release) => ({ title: `Finding, ${release}`, cell: (it) => (of(it, release) ? finding(of(it, release).finding) : "–") })),
    ...(releases.length ? [{ title: `AUC, ${releases.at(-1)}`, sort: "auc", numeric: true, cell: (it) => figure(of(it, releases.at(-1))?.auc) }] : []),
  ];
  fill(list, page.total
    ? [table("Artists of the index", columns, page.artists, { sort, onsort: (to) => { change({ sort: to === "artist" ? "" : to, offset: "" }); show(); } }),
      pager(page.total, offset, PAGE, show)]
    : el("p", {}, "No artist passes these filters."));
}

const show = () => draw().catch((error) => fill(one("#list"), problem(error, show)));

function fromUrl() {
  one("#search").value = parameter("search");
  one("#arm").value = parameter("arm");
  one("#finding").value = parameter("finding");
}

async function start() {
  const listed = await indexes();
  index = listed.find((it) => it.id === parameter("index")) ?? (parameter("index") ? null : listed[0]);
  if (!index) { fill(one("#list"), el("p", {}, "This index is not served. Choose another one.")); return; }
  put(one("#about"), `${count(index.artists)} names in ${index.name}`, index.audit ? [", of the audit ", el("a", { href: address("/audit", { audit: index.audit }) }, index.audit)] : "", ".");
  if (index.audit) {
    const { findings } = await get("/findings");
    one("#finding-label").hidden = false;
    put(one("#finding"), findings.map((it) => el("option", { value: it.finding }, it.finding)));
  }
  fromUrl();
  let timer = null;
  one("#filters").addEventListener("submit", (event) => event.preventDefault());
  one("#search").addEventListener("input", (event) => {
    clearTimeout(timer);
    timer = setTimeout(() => { change({ search: event.target.value, offset: "" }, { replace: true }); show(); }, 200);
  });
  for (const name of ["arm", "finding"]) {
    one(`#${name}`).addEventListener("change", (event) => { change({ [name]: event.target.value, offset: "" }); show(); });
  }
  onReturn(() => { fromUrl(); show(); });
  onBack(show);
  await show();
  one("#main").dataset.ready = "yes";
}

start().catch((error) => fill(one("#list"), problem(error, () => location.reload())));
