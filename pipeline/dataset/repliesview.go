package dataset

import (
	"path/filepath"
	"strings"
)

// RepliesView is SQL that makes a view like replies of [OpenDuckDB] from some of its files, which are named
// as scans lists them. DuckDB opens each file of a view for each statement, so that work on one scan of
// many is faster on a view of its own.
func RepliesView(name, dir string, files []string) (string, error) {
	contract, err := readContract()
	if err != nil {
		return "", err
	}
	v := view{Name: name, Columns: contract.Tables[RepliesTable].Columns, Partitions: contract.Partitions, Ordered: true}
	for _, file := range files {
		v.Files = append(v.Files, globEscaper.Replace(filepath.Join(dir, filepath.FromSlash(file))))
	}
	var b strings.Builder
	err = viewsTemplate.ExecuteTemplate(&b, "table", v)
	return b.String(), err
}
