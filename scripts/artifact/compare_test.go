package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	expected := results{"figures/a.svg": "11", "tables/gone.csv": "x\n", "tables/t.csv": "a,b\n1,2\n3,4\n", "tables/u.csv": "u\n"}
	found := results{"figures/a.svg": "12", "figures/new.svg": "13", "tables/t.csv": "a,b\n1,5\n3,4\n6,7\n", "tables/u.csv": "u\n"}
	var out strings.Builder
	if n := compare(&out, expected, found); n != 4 {
		t.Errorf("%d different", n)
	}
	want := `figures/a.svg different
line 1
- 11
+ 12
figures/new.svg not expected
tables/gone.csv missing
tables/t.csv different
line 2
- 1,2
+ 1,5
line 4
- (no such line)
+ 6,7
tables/u.csv same
`
	var got strings.Builder
	for line := range strings.Lines(out.String()) {
		got.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	if got.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", got.String(), want)
	}
}

func TestShowsFewLines(t *testing.T) {
	var out strings.Builder
	compare(&out, results{"tables/t.csv": strings.Repeat("a\n", 1000)}, results{"tables/t.csv": strings.Repeat("b\n", 1000)})
	if n := strings.Count(out.String(), "\n"); n != 1+3*shownLines+1 {
		t.Errorf("%d lines", n)
	}
}

// A report comes back as it was, but for the version of who made it.
func TestSaveAndLoad(t *testing.T) {
	report, expectation := t.TempDir(), filepath.Join(t.TempDir(), "expectation")
	for name, text := range map[string]string{
		"tables/p.csv": "scan,tool_version,input\n1,v1.0,\"a, b\"\n", "tables/p.md": "v1.0", "figures/f.svg": "<svg/>", "figures/f.png": "png",
	} {
		path := filepath.Join(report, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := readReport(report)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.save(expectation); err != nil {
		t.Fatal(err)
	}
	expected, err := load(expectation)
	if err != nil {
		t.Fatal(err)
	}
	// echo -n '<svg/>' | sha256sum
	const digest = "d4dc56669143034f31aa309635d4113d9ad76a02b1739da22c965ed2049be9e6"
	if len(expected) != 2 || expected["tables/p.csv"] != "scan,input\n1,\"a, b\"\n" || expected["figures/f.svg"] != digest {
		t.Errorf("read back %v", expected)
	}
	if n := compare(&strings.Builder{}, expected, found); n != 0 {
		t.Errorf("%d differ", n)
	}
}
