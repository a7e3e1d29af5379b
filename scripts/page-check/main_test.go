package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// goodPage has all that a page must have; %s are its head, its script, and what else is in its section.
const goodPage = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>T</title>%s
<style>.n { text-align: right }</style></head><body><h1>T</h1><nav><a href="#s">S</a></nav>
<main><section id="s"><h2>S</h2>
<table class="sortable" aria-labelledby="x"><thead><tr><th class="n"><button>n</button></th></tr></thead>
<tbody><tr><td class="n">9</td></tr><tr><td class="n">1,000</td></tr><tr><td class="n">80</td></tr></tbody></table>
%s</section></main><script>%s</script></body></html>`

const goodScript = `
const button = document.querySelector("button"), header = button.parentNode, body = document.querySelector("tbody");
button.addEventListener("click", () => {
	const up = header.getAttribute("aria-sort") !== "ascending";
	const value = row => Number(row.textContent.replaceAll(",", ""));
	body.append(...[...body.rows].sort((a, b) => up ? value(a) - value(b) : value(b) - value(a)));
	header.setAttribute("aria-sort", up ? "ascending" : "descending");
});`

// Each fault is found, and a good page has none.
func TestFaults(t *testing.T) {
	if _, err := program(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	b, err := start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for _, test := range []struct{ name, head, content, script, want string }{
		{name: "good", script: goodScript},
		{"wide", "", `<p style="width: 3000px">wide</p>`, goodScript, "at 390 pixels: the page is 3"},
		{"request", `<link rel="stylesheet" href="http://example.invalid/a.css">`, "", goodScript, "requests http://example.invalid/a.css"},
		{"image", "", `<img src="missing.png" alt="">`, goodScript, "an image is not loaded"},
		{"exception", "", "", goodScript + "nothing.at.all;", "exceptionThrown"},
		{"console", "", "", goodScript + `console.error("bad");`, "consoleAPICalled"},
		{"text order", "", "", strings.Replace(goodScript, `Number(row.textContent.replaceAll(",", ""))`, `parseInt(row.textContent)`, 1), "before"},
		{"no sort", "", "", `document.querySelector("button").addEventListener("click", () => {});`, "sorts one way only"},
		{"link", "", `<a href="missing.csv">x</a>`, goodScript, "link missing.csv"},
		{"anchor", "", `<a href="#missing">x</a>`, goodScript, "leads nowhere"},
		{"empty section", "", `</section><section id="t"><h2>T</h2><p>Nothing.</p>`, goodScript, "section t has neither content"},
		{"heading", "", "<h4>deep</h4>", goodScript, "leaves out a level"},
		{"figure", "", "<svg></svg>", goodScript, "for who does not see it"},
		{"left", "<style>.n { text-align: left ! important }</style>", "", goodScript, "do not stand right"},
	} {
		page := filepath.Join(t.TempDir(), "index.html")
		if err := os.WriteFile(page, fmt.Appendf(nil, goodPage, test.head, test.content, test.script), 0o644); err != nil {
			t.Fatal(err)
		}
		faults, err := check(b, page, "")
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		found := strings.Join(faults, "\n")
		if test.want == "" && found != "" || !strings.Contains(found, test.want) {
			t.Errorf("%s: want %q, found:\n%s", test.name, test.want, found)
		}
	}
}
