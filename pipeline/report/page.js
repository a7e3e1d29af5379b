"use strict";

// Numbers are compared by data-value, exact and without separators; what is not known comes last.
const compare = (a, b) => {
	const x = a.dataset.value, y = b.dataset.value;
	if (x !== undefined && y !== undefined) return Number(x) - Number(y);
	return a.textContent.localeCompare(b.textContent, "en", { numeric: true });
};
const unknown = cell => cell.textContent === "–";

const sort = header => {
	const body = header.closest("table").tBodies[0], column = header.cellIndex;
	const numeric = header.classList.contains("n"), sorted = header.getAttribute("aria-sort");
	// Of numbers one wants the largest first, of names the alphabet.
	const descending = sorted ? sorted === "ascending" : numeric;
	const rows = [...body.rows];
	rows.sort((r, s) => {
		const a = r.cells[column], b = s.cells[column];
		if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
		return descending ? compare(b, a) : compare(a, b);
	});
	body.append(...rows);
	for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
	header.setAttribute("aria-sort", descending ? "descending" : "ascending");
};

for (const button of document.querySelectorAll(".sortable thead button")) {
	button.addEventListener("click", () => sort(button.parentNode));
}

// On paper nothing can be unfolded.
addEventListener("beforeprint", () => {
	for (const folded of document.querySelectorAll("details")) folded.open = true;
});
