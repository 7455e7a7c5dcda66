// Candidates for copies: the two pictures, what people said, and a form to confirm or reject.

import { get, post, segment } from "./api.js";
import { el, fill, tell } from "./dom.js";
import { counted, cosine } from "./format.js";
import { picture, pictureOf, problem, withPictures } from "./parts.js";

const STATES = { confirmed: "confirmed as a copy", rejected: "rejected: no copy" };

/** Draw the candidates of an audit, or those of one artist, into a section. */
export async function candidates(section, audit, artist = null) {
  const listed = await get(`/audits/${segment(audit)}/candidates`);
  draw(section, audit, artist, listed.candidates);
}

function draw(section, audit, artist, listed) {
  const shown = listed.filter((it) => it.pair.candidate && (!artist || it.pair.artist === artist || it.pair.work_artist === artist));
  section.hidden = !shown.length;
  if (!shown.length) return;
  const open = shown.filter((it) => !it.pair.decided).length;
  fill(section,
    el("h2", {}, "Candidates for copies"),
    el("p", {}, `${counted(shown.length, "candidate")}, ${open} undecided. A candidate is no copy until a person confirms it. `,
      "A decision goes into the register of the audit with its name and time, and nothing is removed from it. Run the audit again to have it in the report."),
    el("ul", { class: "pairs" }, shown.map((it) => pair(section, audit, artist, it))));
}

function pair(section, audit, artist, it) {
  const { pair: found } = it;
  const by = el("input", { name: "by", required: true, maxlength: "200", autocomplete: "name", value: localStorage.getItem("by") ?? "" });
  const note = el("input", { name: "note", maxlength: "10000", autocomplete: "off" });
  const failed = el("div", {});
  const decide = (copy) => async () => {
    fill(failed);
    if (!by.value.trim()) {
      by.focus();
      fill(failed, el("p", { class: "problem", role: "alert" }, "A decision has a name to it. Write whose it is."));
      return;
    }
    localStorage.setItem("by", by.value.trim());
    try {
      const listed = await post(`/audits/${segment(audit)}/decisions`, {
        release: it.release, picture: found.imitation, imitation_sha256: found.imitation_sha256, work_sha256: found.work_sha256,
        copy, by: by.value.trim(), note: note.value.trim(),
      });
      draw(section, audit, artist, listed.candidates);
      tell(copy ? "Recorded as a copy." : "Recorded as no copy.");
    } catch (error) {
      fill(failed, problem(error));
    }
  };
  return el("li", { class: "pair", dataset: { picture: found.imitation, release: it.release } },
    el("div", { class: "pictures" },
      side(it.index, it.imitation_row, `Picture of ${it.release}, asked for ${found.artist}`, found.imitation),
      side(it.index, it.work_row, `Work by ${found.work_artist}`, found.work)),
    el("p", {}, found.same_bytes ? "The two files are the same, byte for byte." : [
      found.outlines !== null && found.outlines !== undefined ? `Outlines agree to ${found.outlines.toFixed(2)}${found.mirrored ? ", mirrored" : ""}; ` : "",
      `cosine ${cosine(found.cosine)}.`]),
    el("p", { class: `state ${found.decided}` }, found.decided ? `${STATES[found.decided]}, by ${found.decided_by}` : "Nobody has decided."),
    it.history.length > 0 && el("ul", { class: "history" }, it.history.map((line) => el("li", {}, line))),
    el("form", { onsubmit: (event) => event.preventDefault() },
      el("label", {}, "Your name", by), el("label", {}, "Remark", note),
      el("button", { type: "button", class: "confirm", onclick: decide(true) }, "It is a copy"),
      el("button", { type: "button", class: "reject", onclick: decide(false) }, "It is no copy")),
    failed);
}

function side(index, row, label, path) {
  const known = index && row !== null && row !== undefined;
  return el("figure", {},
    known
      ? el("a", { href: withPictures ? pictureOf(index, row) : null, dataset: { large: String(row), index }, "aria-label": `${label}. Show it large.` }, picture(index, row, "", { side: 320 }))
      : el("span", { class: "gap" }, "picture not served"),
    el("figcaption", {}, label, el("br"), el("span", { class: "small" }, path.split("/").at(-1))));
}
