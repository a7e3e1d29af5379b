// Command statistics prints docs/statistics.md: what the tests on keys promise, what they cannot see, and
// what a simulation measures of both. Seeds are fixed, so the page is the same on every machine.
package main

import (
	"embed"
	"fmt"
	"os"
	"text/template"
)

//go:embed *.md
var prose embed.FS

func main() {
	if err := printPage(); err != nil {
		fmt.Fprintln(os.Stderr, "statistics:", err)
		os.Exit(1)
	}
}

// printPage fills the tables of page.md, which names the other files.
func printPage() error {
	page, err := template.New("").Funcs(tables).ParseFS(prose, "*.md")
	if err != nil {
		return err
	}
	return page.ExecuteTemplate(os.Stdout, "page.md", nil)
}

// tables are what the prose calls by name, each a table in Markdown.
var tables = template.FuncMap{
	"powerRuns":         func() int { return runsOf(powerScans, sizes[0]) },
	"powerRunsMany":     func() int { return runsOf(powerScans, sizes[len(sizes)-1]) },
	"weightFalse":       weightFalse,
	"weightDiscoveries": weightDiscoveries,
	"weightLeast":       weightLeast,
	"weightPower":       weightPower,
	"weightEstimates":   weightEstimates,
	"weightCondemning":  weightCondemning,
	"singleFalse":       singleFalse,
	"singlePower":       singlePower,
	"reuseFalse":        reuseFalse,
	"reusePower":        reusePower,
	"groupsFalse":       groupsFalse,
	"groupsPower":       groupsPower,
	"groupsFew":         groupsFew,
	"groupsNested":      groupsNested,
}
