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

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((box) => { box.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((box) => { box.open = false; }));
})();
