"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const STORE = `imindex-panel-${data.panel.slice(0, 16)}-${data.sheet}`;
  const PAUSE = 200; // Milliseconds after a question appears in which a second click is ignored.
  const trials = data.trials;
  let state = { rater: "", answers: [], stopped: false };
  let since = 0, hiddenSince = 0, hidden = 0, busy = false, stored = true;

  // ---------------------------------------------------------------- storage

  function load() {
    try {
      const kept = JSON.parse(localStorage.getItem(STORE) ?? "null");
      const fits = kept && typeof kept.rater === "string" && Array.isArray(kept.answers)
        && kept.answers.length <= trials.length && kept.answers.every((one, n) => one.id === trials[n].id);
      if (fits) state = { rater: kept.rater, answers: kept.answers, stopped: Boolean(kept.stopped) };
    } catch { stored = false; }
  }
  function keep() {
    try { localStorage.setItem(STORE, JSON.stringify(state)); } catch { stored = false; }
    $("unstored").hidden = stored;
  }
  function randomCode() {
    const bytes = crypto.getRandomValues(new Uint8Array(6));
    return Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
  }

  // ---------------------------------------------------------------- the questions

  const url = (id) => `data:image/webp;base64,${data.pictures[id]}`;

  function show(section) {
    for (const id of ["intro", "trial", "end"]) $(id).hidden = id !== section;
    const asking = section === "trial";
    $("count").hidden = $("progress").hidden = !asking;
  }
  function ask() {
    const n = state.answers.length;
    if (n >= trials.length || state.stopped) { finish(); return; }
    const trial = trials[n];
    show("trial");
    $("works").replaceChildren(...trial.works.map((id, place) => {
      const item = document.createElement("li");
      const picture = document.createElement("img");
      picture.alt = `Work ${place + 1}`;
      picture.width = picture.height = data.side;
      picture.src = url(id);
      item.append(picture);
      return item;
    }));
    $("works").classList.toggle("many", trial.works.length > 4);
    for (const side of ["left", "right"]) {
      const picture = $(`${side}-picture`);
      picture.width = picture.height = data.side;
      picture.src = url(trial[side]);
      $(side).classList.remove("chosen");
    }
    $("count").textContent = `Question ${n + 1} of ${trials.length}`;
    $("progress").value = n;
    $("back").disabled = n === 0;
    since = 0;
    const pictures = [...document.querySelectorAll("#trial img")];
    Promise.all(pictures.map((one) => one.decode().catch(() => null))).then(() => {
      if (state.answers.length !== n) return;
      since = performance.now();
      hidden = 0;
      hiddenSince = document.hidden ? since : 0;
      busy = false;
    });
  }
  function answer(side) {
    if (busy || !since || $("trial").hidden) return;
    const now = performance.now();
    const taken = now - since - hidden;
    if (now - since < PAUSE) return;
    busy = true;
    $(side).classList.add("chosen");
    state.answers.push({ id: trials[state.answers.length].id, side, ms: Math.max(0, Math.round(taken)) });
    keep();
    setTimeout(() => { busy = false; ask(); if (document.activeElement === $(side)) $(side).blur(); }, 120);
  }
  function back() {
    if (busy || !state.answers.length || $("trial").hidden) return;
    state.answers.pop();
    keep();
    ask();
  }
  document.addEventListener("visibilitychange", () => {
    if (!since) return;
    if (document.hidden) hiddenSince = performance.now();
    else if (hiddenSince) { hidden += performance.now() - hiddenSince; hiddenSince = 0; }
  });

  // ---------------------------------------------------------------- the answers

  function finish() {
    show("end");
    const n = state.answers.length, whole = n === trials.length;
    $("end-text").textContent = whole
      ? `You have answered all ${n} questions.`
      : `You have answered ${n} of ${trials.length} questions.`;
    $("resume").hidden = whole;
    $("text").hidden = true;
    $("end-h").scrollIntoView({ block: "center" });
    $("main").focus({ preventScroll: true });
  }
  function answersText() {
    const head = ["imindex-panel-answers", data.version, data.panel, data.sheet, state.rater];
    const lines = state.answers.map((one) => `${one.id} ${one.side} ${one.ms}`);
    const digest = sha256(`${[...head, ...lines].join("\n")}\n`);
    return `${JSON.stringify({
      format: head[0], version: data.version, panel: data.panel, sheet: data.sheet, rater: state.rater,
      answers: state.answers, digest,
    }, null, 1)}\n`;
  }
  function save() {
    const link = document.createElement("a");
    const file = URL.createObjectURL(new Blob([answersText()], { type: "application/json" }));
    link.href = file;
    link.download = `answers-${String(data.sheet).padStart(2, "0")}-${state.rater}.json`;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(file), 10000);
    tell("The file is in your downloads.");
  }
  async function copy() {
    const text = $("text");
    text.value = answersText();
    text.hidden = false;
    text.select();
    try {
      await navigator.clipboard.writeText(text.value);
      tell("Copied. Paste it into a message.");
    } catch {
      tell("Select the text below, and copy it.");
    }
  }
  function tell(what) {
    $("status").textContent = what;
    setTimeout(() => { $("status").textContent = ""; }, 5000);
  }

  // SHA-256 (FIPS 180-4) of a text. crypto.subtle is missing on pages that come by plain HTTP.
  function sha256(text) {
    const bytes = new TextEncoder().encode(text);
    const primes = [];
    for (let n = 2; primes.length < 64; n++) if (primes.every((one) => n % one)) primes.push(n);
    const part = (value) => Math.floor((value - Math.floor(value)) * 2 ** 32);
    const k = primes.map((one) => part(Math.cbrt(one)));
    const h = primes.slice(0, 8).map((one) => part(Math.sqrt(one)));
    const padded = new Uint8Array(((bytes.length + 8 >> 6) + 1) * 64);
    padded.set(bytes);
    padded[bytes.length] = 128;
    const view = new DataView(padded.buffer);
    view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
    view.setUint32(padded.length - 4, bytes.length << 3);
    const turn = (x, n) => x >>> n | x << 32 - n;
    const w = new Int32Array(64);
    for (let start = 0; start < padded.length; start += 64) {
      for (let n = 0; n < 16; n++) w[n] = view.getInt32(start + 4 * n);
      for (let n = 16; n < 64; n++) {
        const x = w[n - 15], y = w[n - 2];
        w[n] = w[n - 16] + w[n - 7] + (turn(x, 7) ^ turn(x, 18) ^ x >>> 3) + (turn(y, 17) ^ turn(y, 19) ^ y >>> 10);
      }
      let [a, b, c, d, e, f, g, i] = h;
      for (let n = 0; n < 64; n++) {
        const first = i + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + k[n] + w[n] | 0;
        const second = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
        [i, g, f, e, d, c, b, a] = [g, f, e, d + first | 0, c, b, a, first + second | 0];
      }
      [a, b, c, d, e, f, g, i].forEach((one, n) => { h[n] = h[n] + one | 0; });
    }
    return h.map((one) => (one >>> 0).toString(16).padStart(8, "0")).join("");
  }

  // ---------------------------------------------------------------- what people do

  $("agree").addEventListener("change", () => { $("begin").disabled = !$("agree").checked; });
  $("begin").addEventListener("click", () => {
    if (!$("agree").checked) return;
    state.rater ||= randomCode();
    keep();
    ask();
    $("main").focus({ preventScroll: true });
    scrollTo(0, 0);
  });
  for (const side of ["left", "right"]) $(side).addEventListener("click", () => answer(side));
  $("back").addEventListener("click", back);
  $("stop").addEventListener("click", () => { state.stopped = true; keep(); finish(); });
  $("resume").addEventListener("click", () => { state.stopped = false; keep(); ask(); });
  $("save").addEventListener("click", save);
  $("copy").addEventListener("click", copy);
  $("delete").addEventListener("click", () => {
    try { localStorage.removeItem(STORE); } catch { /* nothing was kept */ }
    state = { rater: "", answers: [], stopped: false };
    $("agree").checked = false;
    $("begin").disabled = true;
    show("intro");
    tell("Your answers were deleted from this device.");
  });
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.altKey || event.ctrlKey || event.metaKey || $("trial").hidden) return;
    const side = { ArrowLeft: "left", ArrowRight: "right" }[event.key];
    if (side) { event.preventDefault(); answer(side); }
    if (event.key === "Backspace") { event.preventDefault(); back(); }
  });

  load();
  keep();
  if (state.rater) ask(); else show("intro");
})();
