// The page "Map": the whole index in two dimensions.

import { indexes, onBack, segment } from "./api.js";
import { all, el, fill, one, put, tell } from "./dom.js";
import { count, counted } from "./format.js";
import { armInWords, picture, pictureOf, problem, withPictures } from "./parts.js";
import { Scatter } from "./scatter.js";
import { address, change, onReturn, parameter, values } from "./url.js";

const KINDS = { works: "works", imitations: "imitations", background: "background works", control: "control pictures" };
// Distinct in light and dark, and for most kinds of colour blindness (after Okabe and Ito 2008).
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#a6761d", "#7570b3"];
const GREY = "#8a8f96";
const FINDINGS = {
  "imitated": "#d55e00", "name effect; specificity not shown": "#e69f00", "name effect; specificity not testable": "#e6b800",
  "nearer than other artists": "#cc79a7", "nearer than pooled works": "#cc79a7", "not shown": "#56b4e9",
  "this encoder cannot tell": "#7570b3", "not tested": GREY,
};
const SHOWN = 60;
const MANY = 12;
let index, about, xy, artist, collection, arm, scatter, labels = [], selected = [];

// The data.

async function load() {
  for (;;) {
    const response = await fetch(`/api/v1/indexes/${segment(index.id)}/map`).catch(() => null);
    if (!response) { await new Promise((done) => setTimeout(done, 1000)); continue; }
    if (response.status === 202) {
      const { stage, rows } = await response.json();
      fill(one("#about"), `The map of ${counted(rows, "picture")} is being computed (${stage}). It is kept beside the index, so this happens once.`);
      await new Promise((done) => setTimeout(done, 1000));
      continue;
    }
    if (!response.ok) { const body = await response.json(); throw Object.assign(new Error(body.error), { body, status: response.status }); }
    return unpack(await response.arrayBuffer());
  }
}

function unpack(bytes) {
  const size = new DataView(bytes).getUint32(4, true);
  about = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, size)));
  let at = 8 + size;
  at += (4 - (at % 4)) % 4;
  const n = about.rows;
  xy = new Float32Array(bytes, at, 2 * n); at += 8 * n;
  artist = new Uint16Array(bytes, at, n); at += 2 * n;
  collection = new Uint8Array(bytes, at, n); at += n;
  arm = new Uint8Array(bytes, at, n);
}

const nameOf = (row) => about.artists[artist[row]] ?? "";

// Colours and filters.

/** Return the label of each row, in an order for the legend, by what the page is coloured. */
function labelling() {
  const by = one("#colour").value;
  if (by === "kind") return named((row) => about.kinds[collection[row]], ["works", "imitations", "background", "control"], (name) => KINDS[name] ?? name);
  if (by === "release") return named((row) => (about.kinds[collection[row]] === "imitations" || about.kinds[collection[row]] === "control" ? about.collections[collection[row]] : "works"), [], (name) => name);
  if (by === "finding") {
    const found = about.findings[one("#release").value] ?? {};
    return named((row) => (about.kinds[collection[row]] === "works" || (about.kinds[collection[row]] === "imitations" && about.collections[collection[row]] === one("#release").value) ? found[nameOf(row)] ?? "other pictures" : "other pictures"), Object.keys(FINDINGS), (name) => name, (name) => FINDINGS[name] ?? GREY);
  }
  const counts = new Map();
  for (let row = 0; row < about.rows; row += 1) counts.set(artist[row], (counts.get(artist[row]) ?? 0) + 1);
  // Every artist that was chosen has a colour; of the others, those with most pictures.
  const chosen = values("show").map((name) => about.artists.indexOf(name));
  const most = [...counts.keys()].filter((it) => it !== 65535).sort((a, b) => chosen.includes(b) - chosen.includes(a) || counts.get(b) - counts.get(a)).slice(0, MANY);
  const first = new Set(most);
  return named((row) => (first.has(artist[row]) ? about.artists[artist[row]] : "other names"), most.map((it) => about.artists[it]), (name) => name,
    (name, place) => (name === "other names" ? GREY : place < COLOURS.length ? COLOURS[place] : `hsl(${(place * 137) % 360} 60% 48%)`));
}

function named(labelOf, order, title, colour = (name, place) => (place < COLOURS.length ? COLOURS[place] : GREY)) {
  const counts = new Map(), of = new Array(about.rows);
  for (let row = 0; row < about.rows; row += 1) { const name = labelOf(row); of[row] = name; counts.set(name, (counts.get(name) ?? 0) + 1); }
  const names = [...order.filter((name) => counts.has(name)), ...[...counts.keys()].filter((name) => !order.includes(name))];
  return { of, keys: names.map((name, place) => ({ name, title: title(name), n: counts.get(name), colour: colour(name, place) })) };
}

const hidden = () => new Set(values("hide"));

function paint() {
  const off = hidden(), wanted = parameter("artist").toLowerCase(), selection = new Set(selected);
  const painted = new Map(labels.keys.map((key) => [key.name, bytesOf(key.colour)]));
  const colours = new Uint8Array(4 * about.rows);
  const matches = wanted ? about.artists.map((name) => name.toLowerCase().includes(wanted)) : null;
  for (let row = 0; row < about.rows; row += 1) {
    const label = labels.of[row];
    if (off.has(label)) continue;
    const [r, g, b] = painted.get(label), match = !matches || matches[artist[row]];
    colours.set([r, g, b, !match ? 26 : selection.size ? (selection.has(row) ? 255 : 70) : 205], 4 * row);
  }
  scatter.paint(colours);
}

const bytesOf = (() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true }), known = new Map();
  return (colour) => {
    if (!known.has(colour)) {
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
      known.set(colour, [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)]);
    }
    return known.get(colour);
  };
})();

function drawLegend() {
  const off = hidden();
  one("#legend-title").textContent = { kind: "Kind", artist: "Artist", release: "Release", finding: "Finding of the artist" }[one("#colour").value];
  fill(one("#keys"), labels.keys.map((key) => {
    const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = key.colour;
    return el("label", {}, el("input", { type: "checkbox", checked: !off.has(key.name), value: key.name, onchange: filter }), swatch, el("span", {}, key.title),
      el("span", { class: "n" }, count(key.n)));
  }));
}

function filter() {
  change({ hide: all("#keys input:not(:checked)").map((box) => box.value) }, { replace: true });
  paint();
}

function recolour() {
  labels = labelling();
  one("#release-label").hidden = one("#colour").value !== "finding";
  drawLegend();
  paint();
}

// The view.

let timer = null;
function keepView() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const { x, y, zoom } = scatter.view, moved = zoom !== 1 || x || y;
    change({ view: moved ? [x, y, zoom].map((value) => Number(value.toPrecision(5))).join(",") : "" }, { replace: true });
  }, 250);
}

function viewFromUrl() {
  const [x, y, zoom] = parameter("view").split(",").map(Number);
  Object.assign(scatter.view, zoom > 0 && Number.isFinite(x) && Number.isFinite(y) ? { x, y, zoom } : { x: 0, y: 0, zoom: 1 });
}

function listen() {
  const stage = one("#stage"), pointers = new Map();
  let path = null, moved = false;
  const at = (event) => { const box = stage.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const isLasso = () => one("#lasso").getAttribute("aria-pressed") === "true";
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    moved = false;
    if ((isLasso() || event.shiftKey) && pointers.size === 1) path = [at(event)];
    else { path = null; stage.classList.add("dragging"); }
    hover(null);
  });
  stage.addEventListener("pointermove", (event) => {
    const here = at(event), before = pointers.get(event.pointerId);
    if (!before) { hover(here); return; }
    if (Math.hypot(here[0] - before[0], here[1] - before[1]) > 1) moved = true;
    if (path) { path.push(here); drawPath(path); return; }
    if (pointers.size === 2) {
      const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)[1];
      const was = Math.hypot(before[0] - other[0], before[1] - other[1]), now = Math.hypot(here[0] - other[0], here[1] - other[1]);
      scatter.zoomAt(now / Math.max(was, 1), other[0], other[1]);
    } else scatter.pan(here[0] - before[0], here[1] - before[1]);
    pointers.set(event.pointerId, here);
    keepView();
  });
  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    stage.classList.remove("dragging");
    if (path && moved) select(scatter.inside(path));
    else if (!moved && event.type === "pointerup") { const point = scatter.nearest(...at(event), 10); select(point < 0 ? [] : [point]); }
    path = null;
    drawPath(null);
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
  stage.addEventListener("pointerleave", () => hover(null));
  stage.addEventListener("wheel", (event) => { event.preventDefault(); scatter.zoomAt(Math.exp(-event.deltaY / 400), ...at(event)); keepView(); hover(null); }, { passive: false });
  stage.addEventListener("keydown", (event) => {
    const step = 60, moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) scatter.pan(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") scatter.zoomAt(1.4);
    else if (event.key === "-") scatter.zoomAt(1 / 1.4);
    else if (event.key === "Enter") select(scatter.inView());
    else if (event.key === "Escape") select([]);
    else return;
    event.preventDefault();
    keepView();
  });
  one("#lasso").addEventListener("click", () => {
    const pressed = !isLasso();
    one("#lasso").setAttribute("aria-pressed", String(pressed));
    stage.classList.toggle("lasso", pressed);
    if (pressed) tell("Draw around points to select them. The list below shows what is inside.");
  });
  one("#whole-view").addEventListener("click", () => { scatter.view = { x: 0, y: 0, zoom: 1 }; scatter.draw(); keepView(); });
  one("#in").addEventListener("click", () => { scatter.zoomAt(1.6); keepView(); });
  one("#out").addEventListener("click", () => { scatter.zoomAt(1 / 1.6); keepView(); });
  one("#colour").addEventListener("change", (event) => { change({ colour: event.target.value === "kind" ? "" : event.target.value, hide: [] }); recolour(); });
  one("#release").addEventListener("change", (event) => { change({ release: event.target.value }); recolour(); });
  one("#search").addEventListener("input", (event) => { change({ artist: event.target.value }, { replace: true }); paint(); });
  one("#tools").addEventListener("submit", (event) => event.preventDefault());
  new ResizeObserver(() => scatter.draw()).observe(stage);
  onReturn(() => { fromUrl(); recolour(); });
}

function drawPath(path) {
  const canvas = one("#over"), context = canvas.getContext("2d");
  canvas.width = canvas.clientWidth;
  canvas.height = canvas.clientHeight;
  if (!path) return;
  context.strokeStyle = getComputedStyle(document.body).getPropertyValue("--accent");
  context.lineWidth = 2;
  context.setLineDash([5, 4]);
  context.beginPath();
  path.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.stroke();
}

let hovered = -1;
function hover(at) {
  const box = one("#hover"), point = at ? scatter.nearest(...at) : -1;
  if (point === hovered) return;
  hovered = point;
  box.hidden = point < 0;
  if (point < 0) return;
  fill(box, withPictures && picture(index.id, point, "", { eager: true }), el("strong", {}, nameOf(point) || "no artist"), el("br"), describe(point));
  const [x, y] = scatter.pixel(xy[2 * point], xy[2 * point + 1]), stage = one("#stage");
  box.style.left = `${x > stage.clientWidth - 190 ? x - 182 : x + 14}px`;
  box.style.top = `${Math.max(4, Math.min(y - 60, stage.clientHeight - 260))}px`;
}

const describe = (row) => [about.kinds[collection[row]] === "imitations" || about.kinds[collection[row]] === "control" ? about.collections[collection[row]] : KINDS[about.kinds[collection[row]]], armInWords(about.arms[arm[row]])].filter(Boolean).join(", ");

// The selection.

function select(points) {
  selected = points;
  paint();
  const section = one("#selection");
  section.hidden = !points.length;
  if (!points.length) { tell("Nothing is selected."); return; }
  const tally = (label) => { const counts = new Map(); for (const row of points) { const name = label(row); if (name) counts.set(name, (counts.get(name) ?? 0) + 1); } return [...counts].sort((a, b) => b[1] - a[1]); };
  const names = tally(nameOf), sets = tally((row) => `${KINDS[about.kinds[collection[row]]]}, ${about.collections[collection[row]]}`);
  fill(section,
    el("h2", {}, `${counted(points.length, "picture")} selected`),
    el("ul", { class: "counts" }, sets.map(([name, n]) => el("li", {}, `${name}: ${count(n)}`))),
    el("ul", { class: "counts" }, names.slice(0, 20).map(([name, n]) => el("li", {}, el("a", { href: address("/artist", { index: index.id, name }) }, name), ` ${count(n)}`)), names.length > 20 && el("li", { class: "soft" }, `and ${counted(names.length - 20, "further name")}`)),
    el("p", {}, el("button", { type: "button", onclick: saveSelection }, "Save as CSV"), " ", el("button", { type: "button", onclick: () => select([]) }, "Clear")),
    el("ul", { class: "cards" }, points.slice(0, SHOWN).map((row) => el("li", { class: "card" },
      el("a", { class: "picture", href: withPictures ? pictureOf(index.id, row) : null, dataset: { large: String(row), index: index.id }, "aria-label": `${nameOf(row) || "no artist"}, ${describe(row)}, row ${row}. Show it large.` }, picture(index.id, row, "")),
      el("div", { class: "who" }, nameOf(row) ? el("a", { href: address("/artist", { index: index.id, name: nameOf(row) }) }, nameOf(row)) : "no artist"),
      el("div", { class: "from soft" }, describe(row)),
      el("a", { class: "again", href: address("/ask", { index: index.id, row }) }, "Ask with this", el("span", { class: "visually-hidden" }, ` picture, row ${row}`))))),
    points.length > SHOWN && el("p", { class: "soft" }, `The first ${SHOWN} of ${count(points.length)}; the CSV has all.`));
  tell(`${counted(points.length, "picture")} selected. The list is below the map.`);
}

function saveSelection() {
  const safe = (text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
  const lines = [["row", "artist", "kind", "collection", "arm", "x", "y"], ...selected.map((row) => [row, safe(nameOf(row)), about.kinds[collection[row]], safe(about.collections[collection[row]]), about.arms[arm[row]], xy[2 * row].toFixed(5), xy[2 * row + 1].toFixed(5)])];
  const href = URL.createObjectURL(new Blob([lines.map((line) => line.map((cell) => `"${String(cell).replaceAll('"', '""')}"`).join(",")).join("\r\n")], { type: "text/csv" }));
  el("a", { href, download: "selection.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

// The page.

function fromUrl() {
  const colour = parameter("colour", "kind");
  one("#colour").value = all("#colour option").some((it) => it.value === colour) ? colour : "kind";
  if (about.releases.includes(parameter("release"))) one("#release").value = parameter("release");
  one("#search").value = parameter("artist");
  viewFromUrl();
}

async function start() {
  const listed = await indexes();
  index = listed.find((it) => it.id === parameter("index")) ?? (parameter("index") ? null : listed[0]);
  if (!index) { fill(one("#about"), "This index is not served. Choose another one."); return; }
  await load();
  const method = about.method === "umap" ? "UMAP, which keeps near neighbours together where it can" : "the two principal components, the directions in which the vectors vary most";
  fill(one("#about"), `${counted(about.rows, "picture")} of ${index.name}. Each point is a picture; drag to move, scroll to zoom, draw a lasso to select.`);
  fill(one("#how"), `Laid out by ${method} (${about.library}). Two dimensions cannot hold what the encoder sees: distances and groups here are no measure of imitation, and no finding is computed from them.`,
    about.sampled ? " There are too many pictures to lay out together, so some were put between their nearest ones." : "");
  one("#whole").hidden = false;
  if (about.releases.length) {
    put(one("#colour"), el("option", { value: "finding" }, "finding"));
    put(one("#release"), about.releases.map((name) => el("option", { value: name }, name)));
  }
  put(one("#names"), about.artists.slice(0, 500).map((name) => el("option", { value: name })));
  try {
    scatter = new Scatter(one("#points"), xy);
  } catch (error) {
    one("#whole").hidden = true;
    fill(one("#about"), `${error.message} The map cannot be drawn here. `, el("a", { href: address("/artists", { index: index.id }) }, "The artists are listed here."));
    return;
  }
  fromUrl();
  listen();
  recolour();
  scatter.drawNow();
  one("#main").dataset.ready = "yes";
  window.imindexMap = scatter; // for measuring how fast it draws
}

start().catch((error) => fill(one("#about"), problem(error, () => location.reload())));
onBack(() => { if (!scatter) location.reload(); });
