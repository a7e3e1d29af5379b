package e2e

import (
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDemo runs what make demo runs.
func TestDemo(t *testing.T) {
	labUp(t) // skips where there can be none; the demo's own lab is another
	out := filepath.Join(t.TempDir(), "demo")
	printed := mustRun(t, "../scripts/demo.sh", out)

	line := regexp.MustCompile(`(?m)^demo: targets (\d+), replies sent (\d+), rows (\d+), verdicts checked (\d+), wrong (\d+), treatments checked (\d+), wrong (\d+), paths checked (\d+), wrong (\d+), final verdicts checked (\d+), wrong (\d+), chains checked (\d+), wrong (\d+)$`)
	sums := line.FindStringSubmatch(printed)
	report := filepath.Join(out, "report")
	if sums == nil || !strings.HasSuffix(printed, "\nreport: "+filepath.Join(report, "index.html")+"\n") {
		t.Fatalf("the demo's last lines are not what the README promises:\n%s", printed)
	}
	targets, sent, rows, wrong := number(t, sums[1]), number(t, sums[2]), number(t, sums[3]), number(t, sums[5])
	if targets != 65536+4+16384+4 {
		t.Errorf("%d targets, want both populations and the real kernels, which are in both families", targets)
	}
	if sent == 0 || sent != rows {
		t.Errorf("%d replies sent, %d rows", sent, rows)
	}
	if wrong != 0 {
		t.Errorf("%d verdicts are wrong", wrong)
	}
	for i, what := range []string{"treatments", "paths", "final verdicts", "chains"} {
		if checked, wrong := number(t, sums[6+2*i]), number(t, sums[7+2*i]); checked == 0 || wrong != 0 {
			t.Errorf("%d of %d %s are wrong", wrong, checked, what)
		}
	}
	if paths := number(t, sums[8]); paths < 65536 {
		t.Errorf("%d paths checked, want those to the whole population", paths)
	}

	checkReadme(t, strings.ReplaceAll(printed, out, "demo-out"))
	checkFigures(t, filepath.Join(report, "figures"))
	checkReport(t, report)
}

// checkReport opens the page in a browser, and looks for tables without rows: the demo's dataset has something
// for each.
func checkReport(t *testing.T, dir string) {
	require(t, "chromium")
	mustRun(t, "go", "run", "../scripts/page-check", filepath.Join(dir, "index.html"))
	tables, err := filepath.Glob(filepath.Join(dir, "tables", "*.csv"))
	if err != nil || len(tables) < 14 {
		t.Errorf("tables: %q, %v", tables, err)
	}
	for _, table := range tables {
		text, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		if rows := strings.Count(string(text), "\n") - 1; rows < 2 {
			t.Errorf("%s has %d rows", filepath.Base(table), rows)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "not enough data") {
		t.Error("a part of the report says that there is not enough data")
	}
}

// checkFigures looks at what a person would see missing: no figure for v0 and v1 of a family, or an empty one.
func checkFigures(t *testing.T, dir string) {
	for _, scan := range []string{"ipv4-443-v0", "ipv4-443-v1", "ipv6-443-v0", "ipv6-443-v1"} {
		paths, err := filepath.Glob(filepath.Join(dir, "hamming-*-"+scan+".png"))
		if err != nil || len(paths) != 12 {
			t.Fatalf("Hamming plots of %s, one a month: %v, %v", scan, paths, err)
		}
		newest := paths[len(paths)-1]
		file, err := os.Open(newest)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		image, err := png.Decode(file)
		if err != nil {
			t.Fatalf("%s: %v", newest, err)
		}
		colours := map[[3]uint32]bool{}
		for y := image.Bounds().Min.Y; y < image.Bounds().Max.Y; y += 3 {
			for x := image.Bounds().Min.X; x < image.Bounds().Max.X; x += 3 {
				r, g, b, _ := image.At(x, y).RGBA()
				colours[[3]uint32{r, g, b}] = true
			}
		}
		if len(colours) < 5 {
			t.Errorf("%s has %d colours: is anything drawn?", newest, len(colours))
		}
	}
}

// checkReadme compares the output that the README shows with what the demo printed.
func checkReadme(t *testing.T, printed string) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```text\n")
	shown, _, ok := strings.Cut(rest, "```\n")
	if !ok || !strings.Contains(shown, "report: demo-out") {
		t.Fatal("the README shows no output of the demo")
	}
	lines := map[string]bool{}
	for line := range strings.Lines(printed) {
		lines[strings.TrimSpace(line)] = true
	}
	for line := range strings.Lines(shown) {
		if line = strings.TrimSpace(line); line != "…" && !lines[line] {
			t.Errorf("the README shows a line that the demo did not print: %s", line)
		}
	}
}
