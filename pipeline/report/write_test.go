package report

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

var originOfTest = Origin{Dataset: "census\u202e", Tool: "mpcensus of tests", Made: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}

func writeReport(t *testing.T, dir string, c *Census) string {
	t.Helper()
	page, err := Write(t.Context(), dir, c, originOfTest, nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// smallSample has the figures of one scan only.
func smallSample() *Census {
	c := sample(2)
	c.Keys = c.Keys[:1]
	return c
}

// filesIn are the files below dir.
func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A second report replaces the first, and nothing of anybody else.
func TestReplace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "report")
	writeReport(t, dir, smallSample())
	before := filesIn(t, dir)
	other := smallSample()
	stale := "figures/hamming-" + other.Keys[0].ID + ".svg"
	other.Keys[0].ID = "another"
	if !slices.Contains(before, stale) {
		t.Fatalf("%s is not in %v", stale, before)
	}
	foreign := filepath.Join(dir, "figures", "mine.svg")
	if err := os.WriteFile(foreign, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	writeReport(t, dir, other)
	after := filesIn(t, dir)
	if slices.Contains(after, stale) {
		t.Error("a figure of the first report is still there")
	}
	if !slices.Contains(after, "figures/mine.svg") {
		t.Error("a file that is not the report's is gone")
	}
	writeReport(t, dir, smallSample())
	if again := filesIn(t, dir); !slices.Equal(slices.DeleteFunc(again, func(name string) bool { return name == "figures/mine.svg" }), before) {
		t.Errorf("made again, the report has %v, at first %v", again, before)
	}
	list, err := os.ReadFile(filepath.Join(dir, listName))
	if err != nil {
		t.Fatal(err)
	}
	listed := append(strings.Fields(string(list)), listName)
	slices.Sort(listed)
	if slices.Sort(before); !slices.Equal(listed, before) {
		t.Errorf("listed: %v, there: %v", listed, before)
	}
}

// Writing that broke off leaves a list by which the next report clears what it and the one before left.
func TestReplaceUnfinished(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"figures/first.svg", "figures/second.svg"} {
		f, err := openFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.announce([]string{"index.html", name}); err != nil {
			t.Fatal(err)
		}
		if err := f.root.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		f.root.Close()
	}
	writeReport(t, dir, smallSample())
	for _, name := range filesIn(t, dir) {
		if strings.Contains(name, "first") || strings.Contains(name, "second") {
			t.Errorf("%s is still there", name)
		}
	}
}

// A report that breaks off leaves no page, which would show another report's tables and figures as its own.
func TestBreakOff(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	writeReport(t, dir, smallSample())
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := Write(ctx, dir, sample(3), originOfTest, func(string) { cancel(errors.New("signal")) })
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
	if names := filesIn(t, dir); slices.Contains(names, pageName) || len(names) < 30 {
		t.Errorf("left %v", names)
	}
	if page := writeReport(t, dir, smallSample()); !strings.Contains(page, "</html>") {
		t.Error("no page after it")
	}
}

func TestRefuse(t *testing.T) {
	dir := t.TempDir()
	letter := filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(letter, []byte("dear"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), dir, smallSample(), originOfTest, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a folder with others' files: %v", err)
	}
	if _, err := Write(t.Context(), letter, smallSample(), originOfTest, nil); err == nil {
		t.Error("a file is no folder")
	}
	if names := filesIn(t, dir); !slices.Equal(names, []string{"letter.txt"}) {
		t.Errorf("left %v", names)
	}
}

// A list that somebody changed, or a link that leads out of the folder, removes and writes nothing there.
func TestStayInside(t *testing.T) {
	outside := t.TempDir()
	precious := filepath.Join(outside, "precious.svg")
	if err := os.WriteFile(precious, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(outside, "report")
	writeReport(t, dir, smallSample())
	list := "../precious.svg\n" + precious + "\nfigures/../../precious.svg\nletter.txt\n"
	for name, content := range map[string]string{listName: list, "letter.txt": "dear"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	writeReport(t, dir, smallSample())
	if names := filesIn(t, outside); !slices.Contains(names, "precious.svg") || !slices.Contains(names, "report/letter.txt") {
		t.Errorf("left %v", names)
	}

	if err := os.RemoveAll(filepath.Join(dir, "figures")); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(dir, "figures")); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(t.Context(), dir, smallSample(), originOfTest, nil); err == nil {
		t.Error("writes through a link")
	}
	if names := filesIn(t, elsewhere); len(names) > 0 {
		t.Errorf("wrote %v", names)
	}
}

func TestHostileScanName(t *testing.T) {
	for _, id := range []string{"../../x", "a/b", "a\nb"} {
		c := smallSample()
		c.Keys[0].ID = id
		dir := filepath.Join(t.TempDir(), "report")
		if _, err := Write(t.Context(), dir, c, originOfTest, nil); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v", id, err)
		}
	}
}

// Names of networks, files and arguments stay text in the page; only its own script may run.
func TestHostilePage(t *testing.T) {
	page := writeReport(t, filepath.Join(t.TempDir(), "report"), smallSample())
	if n := strings.Count(strings.ToLower(page), "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	if !strings.Contains(page, "&lt;script&gt;document.title=") {
		t.Error("the hostile text is not shown")
	}
	script := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindStringSubmatch(page)
	digest := sha256.Sum256([]byte(script[1]))
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)
	hash := "sha256-" + base64.StdEncoding.EncodeToString(digest[:])
	unescape := strings.NewReplacer("&#39;", "'", "&#43;", "+")
	if policy == nil || !strings.Contains(unescape.Replace(policy[1]), hash) || !strings.HasPrefix(unescape.Replace(policy[1]), "default-src 'none';") {
		t.Errorf("policy %q, script %s", policy, hash)
	}
	for _, text := range regexp.MustCompile(`(?s)<(td|footer)[ >].*?</(td|footer)>`).FindAllString(page, -1) {
		if strings.Contains(text, "\u202e") {
			t.Errorf("%q can turn the direction of writing", text)
		}
	}
	for _, remote := range []string{"http://", "https://", "//cdn", "url("} {
		if strings.Contains(strings.ReplaceAll(page, "http://www.w3.org/", ""), remote) {
			t.Errorf("the page names %s", remote)
		}
	}
}

// A dataset of many scans: the page has the figures of the newest, and links to the others.
func TestPageOfManyScans(t *testing.T) {
	c := sample(12)
	for i := range mostRows + 1 {
		c.Losses.Rows = append(c.Losses.Rows, []any{strings.Repeat("é", 10_000), int64(i), 0.5, nil})
	}
	sections, err := sections(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sections {
		switch s := &sections[i]; s.ID {
		case "weights":
			if len(s.Folded) != 8 || len(s.Linked) != len(c.Keys)-8 {
				t.Errorf("weights: %d in the page, %d linked", len(s.Folded), len(s.Linked))
			}
			for _, f := range s.Folded {
				if !strings.HasSuffix(f.Title, "2026-12-05") {
					t.Errorf("in the page: %s", f.Title)
				}
			}
		case "distances":
			if len(s.Folded) != 4 {
				t.Errorf("distances: %d in the page", len(s.Folded))
			}
		case "losses":
			if table := s.Tables[0]; len(table.Rows) != mostRows || len(table.Rows[9][0].Text) > 500 || !strings.Contains(table.Omitted, "of 505 rows") {
				t.Errorf("%d rows in the page, %q", len(table.Rows), table.Omitted)
			}
		}
	}
}

// The sums of v0 and v1 say so when they are not of the same scans.
func TestSummaryOfUnlikeScans(t *testing.T) {
	tally := func(date string, port uint16, probe string) Tally {
		return Tally{Partition: dataset.Partition{Date: date, Family: "ipv4", Port: port, Probe: probe}, Complete: true}
	}
	both := []Tally{tally("2026-10-15", 80, "v0"), tally("2026-10-15", 80, "v1")}
	for name, c := range map[string]struct {
		more   []Tally
		unlike bool
	}{
		"alike":               {[]Tally{tally("2026-09-15", 80, "v0")}, false},
		"a port of v0 only":   {[]Tally{tally("2026-10-15", 443, "v0")}, true},
		"other dates of v0":   {[]Tally{tally("2026-10-15", 443, "v1"), tally("2026-09-15", 443, "v0")}, true},
		"both of other dates": {[]Tally{tally("2026-09-15", 443, "v1"), tally("2026-09-15", 443, "v0")}, false},
	} {
		if _, note := summary(slices.Concat(both, c.more)); strings.Contains(note, "cannot be compared") != c.unlike {
			t.Errorf("%s: %s", name, note)
		}
	}
}
