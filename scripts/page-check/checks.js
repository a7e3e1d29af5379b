// Runs in the page; its value is what is wrong with it, and the files that it links to.
(() => {
	const faults = [];
	const fault = (...words) => faults.push(words.join(" "));
	const all = (selector, within = document) => [...within.querySelectorAll(selector)];

	if (!document.documentElement.lang) fault("the page does not say its language");
	if (!document.title) fault("the page has no title");
	const { scrollWidth, clientWidth } = document.documentElement; // innerWidth grows with the page on a telephone
	if (scrollWidth > clientWidth) fault("the page is", scrollWidth, "pixels wide, the window", clientWidth);

	let level = 0;
	for (const heading of all("h1, h2, h3, h4, h5, h6")) {
		const next = Number(heading.tagName[1]);
		if (next > level + 1) fault("heading", heading.textContent, "leaves out a level");
		level = next;
	}

	for (const section of all("main > section")) {
		const content = all("tbody tr, svg, .empty", section).length > 0;
		if (!content) fault("section", section.id, "has neither content nor a reason for having none");
		if (!document.querySelector(`nav a[href="#${section.id}"]`)) fault("section", section.id, "is not in the contents");
	}
	if (all("main > section").length === 0) fault("the page has no sections");

	for (const svg of all("svg")) {
		if (svg.getAttribute("role") !== "img" || !svg.getAttribute("aria-label")) fault("a figure has no text for who does not see it");
		if (svg.getElementsByTagName("text").length === 0) fault("a figure has no text in it:", svg.getAttribute("aria-label"));
	}
	for (const image of all("img")) if (!image.complete || image.naturalWidth === 0) fault("an image is not loaded:", image.src);
	const scripts = all("script").length;
	if (scripts > 1) fault("the page has", scripts, "scripts");

	// Sorts every column of every table both ways, and looks at what then stands there.
	const number = text => Number(text.replaceAll(",", "").replace("< ", "")); // "< 1e-300"
	for (const table of all("table.sortable")) {
		const name = table.getAttribute("aria-labelledby");
		const rows = () => [...table.tBodies[0].rows];
		const content = () => rows().map(row => row.textContent).sort().join("\n");
		const before = content();
		for (const header of table.tHead.rows[0].cells) {
			const numeric = header.classList.contains("n");
			const shown = header.textContent;
			const directions = new Set();
			for (let click = 0; click < 2; click++) {
				header.querySelector("button").click();
				const direction = header.getAttribute("aria-sort");
				directions.add(direction);
				const cells = rows().map(row => row.cells[header.cellIndex].textContent);
				const known = cells.filter(text => text !== "–");
				if (cells.slice(0, known.length).includes("–")) fault(name, shown, "has unknown values before known ones");
				for (let i = 1; i < known.length; i++) {
					const [a, b] = direction === "ascending" ? [known[i - 1], known[i]] : [known[i], known[i - 1]];
					const ordered = numeric ? number(a) <= number(b) : a.localeCompare(b, "en", { numeric: true }) <= 0;
					if (!ordered) { fault(name, shown, direction, "has", known[i - 1], "before", known[i]); break; }
				}
				if (table.tHead.querySelectorAll("[aria-sort]").length !== 1) fault(name, shown, "has not one sorted column");
			}
			if (!directions.has("ascending") || !directions.has("descending")) fault(name, shown, "sorts one way only");
			if (numeric && rows().some(row => getComputedStyle(row.cells[header.cellIndex]).textAlign !== "right")) fault(name, shown, "has numbers that do not stand right");
		}
		if (content() !== before) fault(name, "has other rows after sorting");
	}

	const links = all("a[href]").map(link => link.getAttribute("href"));
	for (const link of links) {
		if (link.startsWith("#") && !document.getElementById(link.slice(1))) fault("link", link, "leads nowhere");
	}
	return { faults, links: links.filter(link => !link.startsWith("#")) };
})()
