(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const words = new Intl.Collator("en", { sensitivity: "base", numeric: true });

  const sort = (button) => {
    const head = button.closest("th");
    const table = head.closest("table");
    const body = table.tBodies[0];
    const column = [...head.parentElement.children]
      .slice(0, head.cellIndex)
      .reduce((sum, cell) => sum + cell.colSpan, 0);
    const falling = head.getAttribute("aria-sort") === "ascending";
    const numeric = head.dataset.kind === "number";
    const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
    const rows = [...body.rows].map((row) => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = numeric ? a - b : words.compare(a, b);
      return falling ? -order : order;
    });
    rows.forEach(([, row]) => body.append(row));
    all("th[aria-sort]", table).forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const said = table.parentElement.querySelector("[aria-live]");
    if (said) said.textContent = `Sorted by ${button.textContent.trim()}, ${falling ? "falling" : "rising"}.`;
  };
  all("th button").forEach((button) => button.addEventListener("click", () => sort(button)));

  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();

  all("[data-open]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      const boxes = all("details", document.getElementById(button.dataset.open));
      const shut = boxes.some((box) => !box.open);
      boxes.forEach((box) => { box.open = shut; });
      button.textContent = shut ? "Close all" : "Open all";
    });
  });

  all(".filter").forEach((bar) => {
    const table = document.getElementById(`${bar.dataset.filter}-artists`);
    const entries = bar.dataset.entries ? all(".entry", document.getElementById(bar.dataset.entries)) : [];
    const [name, finding] = [bar.querySelector("input"), bar.querySelector("select")];
    const said = bar.querySelector(".shown");
    const rows = [...table.tBodies[0].rows];
    const apply = () => {
      const words = name.value.trim().toLowerCase();
      const fits = (one) => one.dataset.name.includes(words) && (!finding?.value || one.dataset.finding === finding.value);
      [...rows, ...entries].forEach((one) => one.classList.toggle("filtered", !fits(one)));
      const n = rows.filter(fits).length;
      said.textContent = n === rows.length ? "" : `${n} of ${rows.length} artists`;
    };
    [name, finding].forEach((one) => one?.addEventListener("input", apply));
    bar.hidden = false;
  });

  const hints = new ResizeObserver((seen) => seen.forEach(({ target }) => {
    target.previousElementSibling.hidden = target.scrollWidth <= target.clientWidth + 1;
  }));
  all(".scroll").forEach((box) => {
    const hint = document.createElement("p");
    hint.className = "swipe";
    hint.textContent = "Wider than the screen: scroll it sideways →";
    hint.hidden = true;
    box.before(hint);
    hints.observe(box);
  });

  const links = new Map(all("nav.contents a").map((link) => [link.hash.slice(1), link]));
  if (links.size) {
    const parts = [...links.keys()].map((id) => document.getElementById(id));
    const mark = () => {
      const here = parts.filter((part) => part.getBoundingClientRect().top < innerHeight / 3).pop() ?? parts[0];
      links.forEach((link, id) => {
        if (id === here.id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      });
    };
    let waiting = false;
    addEventListener("scroll", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; mark(); });
    }, { passive: true });
    mark();
  }

  const make = (tag, name, text) => {
    const one = document.createElement(tag);
    one.className = name;
    if (text) one.textContent = text;
    return one;
  };
  let viewer;
  const build = () => {
    const dialog = make("dialog", "viewer");
    const pictures = make("div", "viewer-pictures");
    const words = make("p", "viewer-words");
    const bar = make("div", "viewer-bar");
    const buttons = [["Previous", -1], ["Next", 1]].map(([text, step]) => {
      const button = make("button", "plain-button", text);
      button.addEventListener("click", () => viewer.go(step));
      return button;
    });
    const close = make("button", "plain-button", "Close (Esc)");
    close.addEventListener("click", () => dialog.close());
    bar.append(...buttons, close);
    dialog.append(pictures, words, bar);
    dialog.setAttribute("aria-label", "Enlarged pictures");
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") viewer.go(-1);
      if (event.key === "ArrowRight") viewer.go(1);
    });
    dialog.addEventListener("close", () => viewer.opener?.focus());
    document.body.append(dialog);
    let pairs = [];
    let place = 0;
    const draw = () => {
      const pair = pairs[place];
      pictures.replaceChildren(...all("img", pair).map((image) => {
        const copy = image.cloneNode();
        copy.removeAttribute("width");
        copy.removeAttribute("height");
        const figure = make("figure", "viewer-figure");
        figure.append(copy, make("figcaption", "", image.alt));
        return figure;
      }));
      words.textContent = pair.querySelector("figcaption").textContent.replace(/\s+/g, " ").trim();
      buttons[0].disabled = place === 0;
      buttons[1].disabled = place === pairs.length - 1;
    };
    return {
      open(button) {
        this.opener = button;
        const pair = button.closest(".pair");
        pairs = all(".pair", pair.parentElement).filter((one) => one.querySelector("img"));
        place = pairs.indexOf(pair);
        draw();
        dialog.showModal();
        close.focus();
      },
      go(step) {
        if (!pairs[place + step]) return;
        place += step;
        draw();
      },
    };
  };
  all(".zoom").forEach((button) => button.addEventListener("click", () => {
    viewer ??= build();
    viewer.open(button);
  }));

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open]):not(.works)");
    closed.forEach((box) => { box.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((box) => { box.open = false; }));
})();
