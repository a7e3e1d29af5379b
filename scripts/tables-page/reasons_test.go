package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/classify"
)

var (
	sqlComment = regexp.MustCompile(`--.*`)

	// Reasons in SQL: a literal with a colon after its tag, one that a test gives, or the end of one.
	sqlReasons = []*regexp.Regexp{
		regexp.MustCompile(`'([a-z]+(?:-[a-z]+)*): `),
		regexp.MustCompile(`THEN '([a-z]+(?:-[a-z]+)*)'`),
		regexp.MustCompile(`treatment \|\| '( [a-zA-Z ]+)'`),
	}
	goReason = regexp.MustCompile(`"([a-z]+(?:-[a-z]+)*): `)
)

// TestReasonsAgree compares the tags on the page with those in the sources that write them.
func TestReasonsAgree(t *testing.T) {
	for _, test := range []struct {
		name     string
		rows     [][]string
		sources  []string
		verdicts []string // which SQL gives as it gives reasons
	}{
		{"hosts", hostReasons, []string{
			"classify/hosts.sql", "classify/repeated.sql", "classify/hosts.go",
			"keys/constantbyte.go", "keys/counter.go", "keys/biasedbit.go",
		}, classify.Verdicts},
		{"final", finalReasons, []string{"classify/final.sql"}, classify.FinalVerdicts},
		{"treatments", treatmentReasons, []string{"classify/treatments.sql"}, slices.Concat(classify.Treatments, []string{"rst", "icmp"})},
	} {
		t.Run(test.name, func(t *testing.T) {
			written := tagsIn(t, test.sources)
			written = slices.DeleteFunc(written, func(tag string) bool { return slices.Contains(test.verdicts, tag) })
			var explained []string
			for _, row := range test.rows {
				explained = append(explained, strings.TrimPrefix(strings.Trim(row[0], "`"), "…"))
			}
			slices.Sort(explained)
			if !slices.Equal(written, explained) {
				t.Errorf("written:   %q\nexplained: %q", written, explained)
			}
		})
	}
}

// tagsIn are the tags of reasons in files of the pipeline, in order.
func tagsIn(t *testing.T, files []string) []string {
	t.Helper()
	var tags []string
	for _, file := range files {
		text, err := os.ReadFile("../../pipeline/" + file)
		if err != nil {
			t.Fatal(err)
		}
		patterns := []*regexp.Regexp{goReason}
		if strings.HasSuffix(file, ".sql") {
			text, patterns = sqlComment.ReplaceAll(text, nil), sqlReasons
		}
		for _, pattern := range patterns {
			for _, match := range pattern.FindAllSubmatch(text, -1) {
				tags = append(tags, string(match[1]))
			}
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}
