package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// shownLines is how many lines of a table that differ are shown.
const shownLines = 3

// compare prints which tables and figures are the same, with the first lines of those that are not, and returns how
// many are not.
func compare(w io.Writer, expected, found results) (different int) {
	names := slices.Sorted(maps.Keys(expected))
	for name := range found {
		if _, ok := expected[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		want, expected := expected[name]
		got, found := found[name]
		state := "same"
		switch {
		case !found:
			state = "missing"
		case !expected:
			state = "not expected"
		case got != want:
			state = "different"
		}
		fmt.Fprintf(w, "%-70s %s\n", name, state)
		if state == "same" {
			continue
		}
		different++
		if state == "different" {
			showLines(w, want, got)
		}
	}
	return different
}

// showLines shows the first lines that differ, as diff does, but line against line.
func showLines(w io.Writer, want, got string) {
	wanted, gotten := slices.Collect(strings.Lines(want)), slices.Collect(strings.Lines(got))
	shown := 0
	for i := range max(len(wanted), len(gotten)) {
		a, b := line(wanted, i), line(gotten, i)
		if a == b {
			continue
		}
		if shown++; shown > shownLines {
			fmt.Fprintln(w, "  …")
			return
		}
		fmt.Fprintf(w, "  line %d\n  - %s\n  + %s\n", i+1, a, b)
	}
}

func line(lines []string, i int) string {
	if i >= len(lines) {
		return "(no such line)"
	}
	return strings.TrimSuffix(lines[i], "\n")
}
