// The page "Ask": a picture, a text or a row in, its neighbours and artists out.

import { get, indexes, onBack, segment, send } from "./api.js";
import { all, el, fill, one, put, tell } from "./dom.js";
import { cosine, count, counted, percent, pValue } from "./format.js";
import { neighbourCard, picture, problem } from "./parts.js";
import { address, change, onReturn, parameter, parameters, values } from "./url.js";

const TITLES = {
  works: "Nearest works", imitations: "Nearest imitations", background: "Nearest works of further artists",
  control: "Nearest control pictures",
};
const ORDER = ["works", "imitations", "background", "control"];
const ARTISTS = 12;
const KEPT = 4;
const PENDING = 2000;
let index = null;
let asking = null;

// What is asked.

const wanted = () => ({
  k: Number(one("#k").value) || 12,
  confidence_level: Number(one("#confidence").value) || 0.95,
  artist: one("#artist").value.trim() ? [one("#artist").value.trim()] : [],
  collection: all("#collections input:checked").map((box) => box.value),
  exact: one("#exact").checked,
});

/** The options as parameters of the page; defaults are left out. */
function inUrl(options) {
  return {
    k: options.k === 12 ? "" : options.k,
    confidence: options.confidence_level === 0.95 ? "" : options.confidence_level,
    artist: options.artist, collection: options.collection, exact: options.exact ? "1" : "",
  };
}

function fromUrl() {
  one("#k").value = parameter("k", "12");
  one("#confidence").value = parameter("confidence", "0.95");
  one("#artist").value = parameter("artist");
  one("#exact").checked = parameter("exact") === "1";
  one("#text").value = parameter("text");
  const chosen = values("collection");
  for (const box of all("#collections input")) box.checked = chosen.includes(box.value);
  one("#options").open = ["k", "confidence", "artist", "collection", "exact"].some((name) => parameters().has(name));
}

const path = (query = {}) => address(`/indexes/${segment(index.id)}/query`, query);

async function run(request, { show = () => null } = {}) {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const answers = one("#answers");
  answers.setAttribute("aria-busy", "true");
  fill(answers, el("p", { class: "soft", id: "wait" }, "Searching…"));
  try {
    const responses = await Promise.all(request(signal));
    fill(answers);
    for (const response of responses) draw(response, show);
    const n = responses.reduce((sum, one) => sum + one.result.queries.length, 0);
    tell(n === 1 ? "The answer is below." : `${count(n)} answers are below.`);
    answers.focus({ preventScroll: true });
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!error.status && error.status !== 0) throw error;
    fill(answers, problem(error, error.status === 0 || error.status >= 429 ? () => run(request, { show }) : null));
  } finally {
    if (signal === asking.signal) answers.removeAttribute("aria-busy");
  }
}

/** Ask what the URL says. */
function askUrl() {
  const options = wanted();
  const given = { k: options.k, confidence_level: options.confidence_level, artist: options.artist, collection: options.collection, exact: options.exact };
  const vectors = values("vector");
  if (values("text").length) {
    run((signal) => [get(path({ text: values("text"), ...given }), { signal })]);
  } else if (values("row").length) {
    run((signal) => [get(path({ row: values("row"), ...given }), { signal })]);
  } else if (vectors.length) {
    const digests = values("sha256"), names = values("name");
    run((signal) => vectors.map((vector, place) =>
      get(path({ vector, sha256: digests[place] ?? "", name: names[place] ?? "", ...given }), { signal })));
  } else {
    fill(one("#answers"));
  }
}

async function askPictures(files) {
  if (!files.length) return;
  const form = new FormData();
  for (const file of files) form.append("picture", file, file.name || "pasted picture");
  const options = wanted();
  form.append("k", options.k);
  form.append("confidence_level", options.confidence_level);
  for (const name of options.collection) form.append("collection", name);
  for (const name of options.artist) form.append("artist", name);
  if (options.exact) form.append("exact", "true");
  one("#text").value = "";
  const shown = new Map();
  await Promise.all(files.map(async (file) => {
    const small = await thumbnail(file).catch(() => null);
    if (small) shown.set(file.name || "pasted picture", small);
  }));
  await run((signal) => [send(path(), form, { signal }).then((response) => {
    const asked = response.asked.slice(0, KEPT);
    for (const it of asked) if (shown.has(it.query)) keep(it.sha256, shown.get(it.query));
    change({
      index: index.id, text: "", row: "", ...inUrl(options), root: response.root,
      vector: asked.map((it) => it.vector), sha256: asked.map((it) => it.sha256), name: asked.map((it) => it.query),
    });
    return response;
  })], { show: (it) => shown.get(it.query) });
}

// The own picture is kept small in this tab, and nowhere else.

async function thumbnail(file, side = 256) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = el("canvas", { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/webp", 0.8);
}

function keep(sha256, data) {
  try { sessionStorage.setItem(`picture ${sha256}`, data); } catch { /* the storage is full: it is not shown later */ }
}

// The answer.

function draw(response, show) {
  const rejects = Object.entries(response.result.rejects);
  if (rejects.length) {
    put(one("#answers"), el("div", { class: "problem", role: "alert" },
      el("p", {}, `${counted(rejects.length, "picture")} cannot be read:`),
      el("ul", {}, rejects.map(([name, reason]) => el("li", {}, el("strong", {}, name), ` ${reason}`)))));
  }
  const given = parameter("root");
  const changed = one("#changed");
  changed.hidden = !given || given === response.root;
  if (!changed.hidden) fill(changed, el("strong", {}, "The index has changed since this link was made."), " Ranks and artists may differ from those that were seen then.");
  response.result.queries.forEach((query, place) => put(one("#answers"), answer(response, query, response.asked[place], show)));
}

function answer(response, query, asked, show) {
  const options = wanted();
  const link = address("/ask", { index: index.id, ...inUrl(options),
    ...(asked.row !== undefined ? { row: asked.row } : asked.text ? { text: asked.text } : { root: response.root, vector: asked.vector, sha256: asked.sha256, name: asked.query }) });
  const own = show(asked) ?? (asked.sha256 && sessionStorage.getItem(`picture ${asked.sha256}`));
  const approximate = ORDER.map((kind) => query.kinds[kind]?.approximate).find(Boolean);
  const kinds = ORDER.filter((kind) => query.kinds[kind]);
  const article = el("article", { class: "answer", "aria-label": `Answer for ${query.query}` },
    el("header", {},
      asked.row !== undefined ? picture(index.id, asked.row, `The query: row ${asked.row}`) : own && el("span", { class: "frame" }, el("img", { src: own, alt: `The query: ${query.query}` })),
      el("div", {},
        el("h2", {}, query.query),
        query.tokens > 0 && el("p", { class: "small" }, `The text has ${query.tokens} tokens, and the encoder reads ${query.tokens_read} of them: what follows is not searched for.`),
        approximate && el("p", { class: "small" }, `Neighbours are approximate: about ${percent(approximate.recall, 0)} of the ten nearest are found. Choose “Search exactly” to find all.`),
        el("p", { class: "links" },
          el("a", { href: link, class: "permalink" }, "Link to this answer"),
          el("button", { type: "button", onclick: () => copy(location.origin + link) }, "Copy link"),
          el("button", { type: "button", onclick: () => save(`${query.query}.json`, JSON.stringify(response, null, 1), "application/json") }, "Save as JSON"),
          el("button", { type: "button", onclick: () => save(`${query.query}.csv`, toCsv(query), "text/csv") }, "Save as CSV")))),
    kinds.filter((kind) => kind === "works" || kind === "imitations").map((kind) => neighbours(kind, query.kinds[kind])),
    query.attribution && attribution(query.attribution),
    query.attribution_pending && pending(),
    kinds.filter((kind) => kind !== "works" && kind !== "imitations").map((kind) => neighbours(kind, query.kinds[kind])));
  if (query.attribution || query.attribution_pending) classify(article, asked);
  if (query.attribution_pending) setTimeout(() => complete(article, asked, show), PENDING);
  return article;
}

const METHODS = {
  "name": ["By name", "The cosine of the picture to the text of each name, as in zero-shot classification."],
  "prototype": ["By mean work", "The cosine of the picture to the mean direction of each artist’s works."],
  "vote": ["By vote", "The artists of the nearest works."],
};

/** Show which artists the picture is nearest to, by each method. */
async function classify(article, asked) {
  const given = asked.row !== undefined ? { row: asked.row } : { vector: asked.vector, sha256: asked.sha256, name: asked.query };
  const found = await get(address(`/indexes/${segment(index.id)}/classify`, given)).catch((error) => error);
  if (!article.isConnected) return;
  if (found instanceof Error) {
    if (found.status === 422) put(article, el("section", { class: "labels", "aria-label": "Nearest names" }, el("h3", {}, "Which artist is it nearest to?"), el("p", {}, found.message)));
    return;
  }
  const methods = found.pictures[0].methods;
  const kind = (name) => Object.entries(METHODS).find(([key]) => name.includes(key))?.[1] ?? [name, ""];
  put(article, el("section", { class: "labels", "aria-label": "Nearest names" },
    el("h3", {}, "Which artist is it nearest to?"),
    el("p", { class: "soft" }, `Every picture has a nearest artist among the ${count(found.artists)} of the index, also one by somebody else. Guessing right by chance: 1 in ${count(methods[0]?.n_labels ?? found.artists)}.`),
    el("div", { class: "methods" }, methods.map((method) => el("div", {},
      el("h4", { title: kind(method.method)[1] }, kind(method.method)[0]),
      el("ol", {}, method.labels.slice(0, 5).map((label) => el("li", {},
        label.is_artist ? el("a", { href: address("/artist", { index: index.id, name: label.label }) }, label.label) : label.label,
        el("span", { class: "soft" }, ` ${cosine(label.score)}${label.votes !== undefined ? `, ${counted(label.votes, "vote")}` : ""}`)))))))));
}

const pending = () => el("section", { class: "artists", "aria-label": "Artists", role: "status" },
  el("h3", {}, "Among whose works does the picture stand out?"),
  el("p", {}, "The works of this index are being compared with each other, once after the service has started. The answer appears here by itself."));

/** Ask again for an answer whose artists were not ready, until they are. */
async function complete(article, asked, show) {
  if (!article.isConnected) return;
  const options = wanted();
  const given = asked.row !== undefined ? { row: asked.row } : { vector: asked.vector, sha256: asked.sha256, name: asked.query };
  const response = await get(path({ ...given, ...options })).catch(() => null);
  if (!article.isConnected) return;
  if (!response || response.result.queries[0].attribution_pending) { setTimeout(() => complete(article, asked, show), PENDING); return; }
  article.replaceWith(answer(response, response.result.queries[0], response.asked[0], show));
}

function neighbours(kind, found) {
  return el("section", { "aria-label": TITLES[kind], class: "neighbours" },
    el("h3", {}, TITLES[kind]),
    el("ul", { class: "votes" }, found.artists.slice(0, ARTISTS).map((it) => el("li", {},
      el("a", { href: address("/artist", { index: index.id, name: it.artist }) }, it.artist),
      el("span", { class: "soft" }, ` ${count(it.votes)} of ${count(found.pictures.length)}, best ${cosine(it.best)}`)))),
    el("ol", { class: "cards" }, found.pictures.map((it) => neighbourCard(index.id, it, kind))));
}

function attribution(it) {
  const level = percent(it.confidence_level, 1), line = 1 - it.confidence_level;
  const open = it.artists.filter((one) => !one.excludable);
  const set = it.artists.filter((one) => one.in_set && one.excludable);
  const shown = it.artists.slice(0, ARTISTS);
  const least = Math.min(...it.artists.map((one) => one.smallest_p));
  const possible = Math.floor(100 * (1 - least)) / 100;
  const sentence = set.length
    ? `Not excluded at ${level}: ${set.slice(0, ARTISTS).map((one) => one.artist).join(", ")}${set.length > ARTISTS ? ` and ${count(set.length - ARTISTS)} more` : ""}.`
    : open.length === it.artists.length ? "No artist has enough works to be excluded." : `Every artist with enough works is excluded at ${level}.`;
  return el("section", { class: "artists", "aria-label": "Artists" },
    el("h3", {}, "Among whose works does the picture stand out?"),
    el("p", { class: "set" }, sentence),
    open.length === it.artists.length && possible > 0.5 && el("p", {}, `With so few works no p can be below ${pValue(least)}. `,
      el("button", { type: "button", onclick: () => { one("#confidence").value = String(possible); one("#options").open = true; askAgain(); } }, `Ask at a confidence of ${percent(possible, 0)}`)),
    el("div", { class: "two" },
      el("div", {},
        el("table", { class: "plot" },
          el("caption", { class: "visually-hidden" }, `Conformal p-values of artists, best fit first; artists below ${line.toFixed(2)} are excluded`),
          el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Artist"), el("th", { scope: "col", class: "track-col" }, `p, with the line at ${line.toFixed(2)}`), el("th", { scope: "col", class: "number" }, "p"), el("th", { scope: "col" }, "In the set"))),
          el("tbody", {}, shown.map((one) => el("tr", { class: one.in_set ? "in" : "" },
            el("th", { scope: "row" }, el("a", { href: address("/artist", { index: index.id, name: one.artist }) }, one.artist)),
            el("td", {}, el("div", { class: "track", "aria-hidden": "true" }, el("span", { class: "fill", "width%": 100 * (one.p ?? 0) }), el("span", { class: "line", "left%": 100 * line }))),
            el("td", { class: "number" }, pValue(one.p)),
            el("td", {}, !one.excludable ? `too few works (${one.n_distinct_works})` : one.in_set ? "yes" : "no"))))),
        it.artists.length > ARTISTS && el("p", { class: "soft small" }, `The ${ARTISTS} best fits of ${count(it.artists.length)} artists; JSON has all.`)),
      el("div", { class: "meaning" },
        el("p", {}, el("strong", {}, "What it says. "), `p is small if the picture stands out among the artist’s works. If the picture is by one of these artists, and is to that artist’s other works as any of them is to the rest, the set contains the artist with a probability of at least ${level}.`),
        el("p", {}, el("strong", {}, "What it does not say. "), "An artist in the set is not shown to be the author. A picture that a model made is no work of anybody, so for an imitation the set has no such guarantee. Similarity is a lead, not proof that one picture was made after another."),
        it.n_itself > 0 && el("p", {}, `${counted(it.n_itself, "work")} with the same bytes as the picture ${it.n_itself === 1 ? "was" : "were"} left out.`),
        open.length > 0 && el("p", {}, `${counted(open.length, "artist")} ${open.length === 1 ? "has" : "have"} too few works to be excluded at ${level}, whatever the picture is.`))));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    tell("The link is copied.");
  } catch {
    tell("The browser does not allow copying. Copy the link from “Link to this answer”.", { problem: true });
  }
}

function toCsv(query) {
  const rows = [["query", "kind", "rank", "row", "cosine", "artist", "collection", "arm", "path", "prompt", "copies", "same_file"]];
  for (const kind of ORDER) {
    for (const it of query.kinds[kind]?.pictures ?? []) {
      rows.push([query.query, kind, it.rank, it.row, it.cosine, it.artist, it.collection, it.arm, it.path, it.prompt, it.copies, it.same_file]);
    }
  }
  // A cell that begins like a formula gets an apostrophe, as in the files that imindex writes.
  const cell = (value) => { const text = String(value ?? ""); return `"${(typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`; };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function save(name, text, type) {
  const href = URL.createObjectURL(new Blob([text], { type }));
  const link = el("a", { href, download: name.replace(/[^\w.\- ]+/g, "_") });
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

// The form.

function listen() {
  const drop = one("#drop"), file = one("#file");
  one("#choose").addEventListener("click", () => file.click());
  file.addEventListener("change", () => { askPictures([...file.files]); file.value = ""; });
  let depth = 0;
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => { if (holdsFiles(event)) { depth += 1; drop.classList.add("over"); } });
  addEventListener("dragleave", (event) => { if (holdsFiles(event) && --depth <= 0) { depth = 0; drop.classList.remove("over"); } });
  addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    drop.classList.remove("over");
    askPictures([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) { event.preventDefault(); askPictures(files); }
  });
  one("#ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = one("#text").value.trim();
    if (!text) { askAgain(); return; }
    change({ index: index.id, text, row: "", vector: "", sha256: "", name: "", root: "", ...inUrl(wanted()) });
    askUrl();
  });
  one("#options").addEventListener("change", askAgain);
  onReturn(() => { fromUrl(); askUrl(); });
  onBack(() => { if (one("#answers .problem")) askUrl(); });
}

function askAgain() {
  change(inUrl(wanted()));
  askUrl();
}

async function start() {
  const listed = await indexes();
  index = listed.find((it) => it.id === parameter("index")) ?? (parameter("index") ? null : listed[0]);
  if (!index) {
    fill(one("#answers"), el("p", {}, listed.length ? "This index is not served any more. Choose another one." : "No index is served."));
    return;
  }
  const boxes = index.collections.filter((it, place, every) => every.findIndex((other) => other.name === it.name) === place);
  if (boxes.length > 1) {
    one("#collections").hidden = false;
    put(one("#collections .checks"), boxes.map((it) => el("label", {}, el("input", { type: "checkbox", value: it.name }), ` ${it.name}`)));
  }
  if (!index.approximate) one("#exact").closest("label").hidden = true;
  if (index.texts === false) {
    one("#text").disabled = true;
    one(".by-text button").disabled = true;
    one("#no-text").hidden = false;
  }
  fromUrl();
  listen();
  one("#main").dataset.ready = "yes";
  askUrl();
  get(`/indexes/${segment(index.id)}/artists?limit=500`).then((page) =>
    put(one("#artists"), page.artists.map((it) => el("option", { value: it.artist })))).catch(() => null);
}

start().catch((error) => fill(one("#answers"), problem(error, () => location.reload())));
