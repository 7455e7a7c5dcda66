// The first page: indexes and audits, each in a tile.

import { get, onBack } from "./api.js";
import { el, fill, one } from "./dom.js";
import { count, counted, shortDigest, time } from "./format.js";
import { problem } from "./parts.js";
import { address } from "./url.js";

const LINKS = [["/ask", "Ask"], ["/artists", "Artists"], ["/map", "Map"]];

function indexTile(it) {
  const releases = it.collections.filter((one) => one.kind === "imitations").map((one) => one.name);
  return el("li", { class: "tile" },
    el("h3", {}, el("a", { href: address("/ask", { index: it.id }) }, it.name)),
    el("p", {}, `${counted(it.rows, "picture")}, ${counted(it.artists, "name")}`, releases.length ? `, ${counted(releases.length, "release")}: ${releases.join(", ")}` : ""),
    el("p", { class: "soft" }, `Encoder ${it.encoder}`, it.demonstration ? " (for demonstration, not for evidence)" : "",
      it.encoder_state === "loading" ? ", being loaded" : it.encoder_state === "failed" ? `. ${it.encoder_reason}` : ""),
    el("p", { class: "soft small" }, "Root ", el("code", { title: it.root }, shortDigest(it.root))),
    el("p", {}, LINKS.map(([path, name], place) => [place ? " · " : "", el("a", { href: address(path, { index: it.id }) }, name)])));
}

function auditTile(it) {
  return el("li", { class: "tile" },
    el("h3", {}, el("a", { href: address("/audit", { audit: it.id }) }, it.title || it.name)),
    it.state === "finished"
      ? it.releases.map((one) => el("p", {}, el("strong", {}, one.name), ": ",
        Object.entries(one.findings).map(([name, n]) => `${count(n)} ${name}`).join(", ")))
      : el("p", {}, it.reason),
    el("p", { class: "soft small" }, it.name, it.finished ? `, ${time(it.finished)}` : "", it.demonstration ? ", a demonstration" : ""));
}

async function draw() {
  const [{ indexes }, { audits }] = await Promise.all([get("/indexes"), get("/audits")]);
  if (indexes.length) fill(one("#indexes"), indexes.map(indexTile));
  if (audits.length) fill(one("#audits"), audits.map(auditTile));
  one("#main").dataset.ready = "yes";
}

const start = () => draw().catch((error) => one("#main").append(problem(error, () => location.reload())));
onBack(start);
start();
