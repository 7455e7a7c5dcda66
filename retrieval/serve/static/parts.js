// Parts that several pages show: pictures, tables, pages of a list, and problems.

import { el, fill, one } from "./dom.js";
import { cosine, count, counted, shortPath } from "./format.js";
import { address, change, parameter } from "./url.js";
import { segment } from "./api.js";

export const withPictures = document.documentElement.dataset.pictures === "yes";

const KINDS = { works: "work", imitations: "imitation", background: "background", control: "control" };
const ARMS = { placebo: "invented name", nameless: "no name", control: "no name", rival: "other real name" };

/** Return the address of a picture of a row. */
export const pictureOf = (index, row) => `/api/v1/indexes/${segment(index)}/rows/${row}/picture`;

/** Return the address of a thumbnail of a row. */
export const thumbnailOf = (index, row, side = 192) =>
  `/api/v1/indexes/${segment(index)}/rows/${row}/thumbnail?side=${side}`;

/** Return what a picture is for, in words; empty for an artist's own. */
export const armInWords = (arm) => (arm && arm !== "own" ? ARMS[arm] ?? arm : "");

/** Return a picture of a row, or a labelled gap where it cannot be shown. */
export function picture(index, row, alt, { side = 192, eager = false } = {}) {
  if (!withPictures) return gap("not shown");
  const frame = el("span", { class: "frame" });
  const image = el("img", {
    src: thumbnailOf(index, row, side), alt, loading: eager ? "eager" : "lazy", decoding: "async",
    onerror: () => fill(frame, gap("not available")),
  });
  fill(frame, image);
  return frame;
}

const gap = (why) => el("span", { class: "gap", role: "img", "aria-label": `Picture ${why}` }, `picture ${why}`);

/** Return what a screen reader says of a picture. */
export const describe = (it, kind = it.kind) =>
  [KINDS[kind] ?? "picture", it.artist ? `of ${it.artist}` : "", it.collection].filter(Boolean).join(", ");

/** Return the card of a neighbour: the picture with its rank, cosine and artist. */
export function neighbourCard(index, it, kind) {
  const arm = armInWords(it.arm);
  return el("li", { class: "card" },
    el("a", {
      class: "picture", href: withPictures ? pictureOf(index, it.row) : null, dataset: { large: String(it.row), index },
      "aria-label": `Rank ${it.rank}: ${describe(it, kind)}. Show it large.`,
    }, picture(index, it.row, "", {})),
    el("div", { class: "facts" },
      el("span", { class: "rank" }, `${it.rank}`),
      el("span", { class: "score", title: "Cosine similarity to the query; 1 is the same direction." }, cosine(it.cosine)),
      it.same_file && el("span", { class: "mark" }, "same file"),
      it.copies > 0 && el("span", { class: "mark", title: "Rows with the same file and artist; listed once." }, `+${it.copies}`),
    ),
    el("div", { class: "who" },
      it.artist ? el("a", { href: address("/artist", { index, name: it.artist }) }, it.artist) : el("span", { class: "soft" }, "no artist"),
    ),
    el("div", { class: "from soft", title: it.path },
      [kind === "imitations" || kind === "control" ? it.collection : "", arm].filter(Boolean).join(" · ") || shortPath(it.path, 1)),
    el("a", { class: "again", href: address("/ask", { index, row: it.row }) }, "Ask with this",
      el("span", { class: "visually-hidden" }, ` picture, rank ${it.rank}`)),
  );
}

/** Open a picture large in a dialog; arrow keys go to the next one on the page. */
export function lightbox() {
  const dialog = one("#large");
  let links = [], at = 0;
  const show = () => {
    const link = links[at];
    fill(one("#large-picture"), el("img", { src: pictureOf(link.dataset.index, link.dataset.large), alt: link.getAttribute("aria-label").replace(" Show it large.", "") }));
    one("#large-caption").textContent = link.getAttribute("aria-label").replace(" Show it large.", "");
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-large]");
    if (!link || !link.href || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    links = [...document.querySelectorAll("a[data-large][href]")];
    at = links.indexOf(link);
    show();
    dialog.showModal();
  });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { at = (at + step + links.length) % links.length; show(); }
  });
  one("#large-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

/** Return a problem in words, with a button to try again where that can help. */
export function problem(error, again = null) {
  const rejects = Object.entries(error.body?.rejects ?? {});
  return el("div", { class: "problem", role: "alert" },
    el("p", {}, error.message),
    error.body?.option && el("p", { class: "soft" }, "The limit is set by ", el("code", {}, `imindex serve ${error.body.option}`), "."),
    rejects.length > 0 && el("ul", {}, rejects.map(([name, reason]) => el("li", {}, el("strong", {}, name), ` ${reason}`))),
    again && el("button", { type: "button", onclick: again }, "Try again"));
}

/**
 * Return a table whose headers sort. Columns: {key, title, sort (value of the parameter), numeric, cell(row)}.
 * The order is the parameter `sort`: the name for rising, with a minus for falling.
 */
export function table(caption, columns, rows, { sort = "", onsort = null } = {}) {
  const head = columns.map((column) => {
    const rising = sort === column.sort, falling = sort === `-${column.sort}`;
    const state = rising ? "ascending" : falling ? "descending" : null;
    return el("th", { scope: "col", class: column.numeric ? "number" : null, "aria-sort": column.sort && state },
      column.sort && onsort
        ? el("button", { type: "button", class: "sort", onclick: () => onsort(next(column, rising, falling)) },
          column.title, el("span", { "aria-hidden": "true", class: "arrow" }, rising ? " ↑" : falling ? " ↓" : ""))
        : column.title);
  });
  return el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
    el("table", {}, el("caption", { class: "visually-hidden" }, caption),
      el("thead", {}, el("tr", {}, head)),
      el("tbody", {}, rows.map((row) => el("tr", {}, columns.map((column, place) =>
        el(place ? "td" : "th", { scope: place ? null : "row", class: column.numeric ? "number" : null }, column.cell(row))))))));
}

const next = (column, rising, falling) => {
  const first = column.numeric ? `-${column.sort}` : column.sort;
  const second = column.numeric ? column.sort : `-${column.sort}`;
  return (column.numeric ? falling : rising) ? second : first;
};

/** Return links to the other pages of a list; the offset is a parameter of the page. */
export function pager(total, offset, limit, turn) {
  if (total <= limit) return el("p", { class: "soft pager" }, counted(total, "entry", "entries"));
  const to = (where) => { change({ offset: where || "" }); turn(); };
  return el("nav", { class: "pager", "aria-label": "Pages of the list" },
    el("button", { type: "button", disabled: offset === 0, onclick: () => to(Math.max(0, offset - limit)) }, "Previous"),
    el("span", {}, `${count(offset + 1)} to ${count(Math.min(total, offset + limit))} of ${count(total)}`),
    el("button", { type: "button", disabled: offset + limit >= total, onclick: () => to(offset + limit) }, "Next"));
}

/** Keep the chosen index in the links of the header. */
export function keepIndex() {
  const index = parameter("index") || one("#index")?.value;
  for (const link of document.querySelectorAll(".top nav a[data-keep]")) {
    link.href = address(link.getAttribute("href").split("?")[0], { index });
  }
  one("#index")?.addEventListener("change", (event) => {
    location.assign(address(location.pathname, { ...Object.fromEntries(new URLSearchParams(location.search)), index: event.target.value, offset: "", row: "", vector: "", sha256: "", root: "" }));
  });
}
