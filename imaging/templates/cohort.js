"use strict";
const body = document.querySelector(".cohort tbody");
const rows = Array.from(body.rows);
const search = document.getElementById("search");
const filters = Array.from(document.querySelectorAll("[data-filter]"));

function applyFilter() {
  const verdict = filters.find((button) => button.getAttribute("aria-pressed") === "true").dataset.filter;
  const words = search.value.trim().toLowerCase().split(/\s+/);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = (!verdict || row.dataset.verdict === verdict) && words.every((word) => text.includes(word));
    row.hidden = !fits;
    shown += fits;
  }
  document.getElementById("nothing").hidden = shown > 0;
  /* Printed too: a list that was filtered should not look whole. */
  const sought = search.value.trim() ? `, with “${search.value.trim()}”` : "";
  document.getElementById("shown").textContent =
    shown < rows.length ? `${shown} of ${rows.length} studies ${shown === 1 ? "is" : "are"} shown${sought}.` : "";
}

for (const button of filters) {
  button.addEventListener("click", () => {
    for (const other of filters) other.setAttribute("aria-pressed", String(other === button));
    applyFilter();
  });
}
search.addEventListener("input", applyFilter);

function keyOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.key === undefined ? cell.textContent.trim() : Number(cell.dataset.key);
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const column = heading.cellIndex;
    const sorted = heading.getAttribute("aria-sort");
    const isNumber = rows.length > 0 && typeof keyOf(rows[0], column) === "number";
    const falling = sorted ? sorted === "ascending" : isNumber; /* words from A, numbers from the largest */
    for (const other of document.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const sign = falling ? -1 : 1;
    rows.sort((one, two) => {
      const first = keyOf(one, column);
      const second = keyOf(two, column);
      const order = typeof first === "number" ? first - second : first.localeCompare(second);
      return sign * order;
    });
    body.append(...rows);
  });
}
