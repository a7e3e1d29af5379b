package dataset

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

//go:embed views.sql
var viewsSQL string

var viewsTemplate = template.Must(template.New("views.sql").Funcs(template.FuncMap{"literal": Literal}).Parse(viewsSQL))

// view is a table as views.sql needs it.
type view struct {
	Name                string
	Files               []string // patterns; none when there is no file yet
	Columns, Partitions []column // no partitions: a table of the whole dataset
	Ordered             bool
}

// WriteViews puts [ViewsFile] into the dataset in dir, of which [OpenDuckDB] made db: SQL by which any
// DuckDB has the same views. Its paths are relative to dir. It returns the file's path.
func WriteViews(ctx context.Context, db *sql.DB, dir string) (string, error) {
	text, err := viewsOf(ctx, db, dir, "")
	if err != nil {
		return "", err
	}
	folder, err := store.Open(ctx, dir)
	if err != nil {
		return "", err
	}
	file, err := folder.Create(ctx, ViewsFile)
	if err != nil {
		return "", err
	}
	if _, err := io.WriteString(file, text); err != nil {
		return "", discard(err, file)
	}
	return filepath.Join(dir, ViewsFile), file.Commit(ctx)
}

// listings are the tables whose rows list files, by the tables of these files. What is not listed there is
// no part of the dataset.
var listings = map[string]string{
	RepliesTable: ScansTable,
	HopsTable:    TracesTable,
	PathsTable:   TracesTable,
	GrabsTable:   VerificationsTable,
}

// createViews makes the views of the dataset in dir. Those of tables that others list have the files that
// are listed now: a scan that is committed later does not show.
func createViews(ctx context.Context, db *sql.DB, dir string) error {
	for _, listing := range []string{ScansTable, TracesTable, VerificationsTable} {
		v, err := viewOf(listing, dir, dir)
		if err != nil {
			return err
		}
		var b strings.Builder
		if err := viewsTemplate.ExecuteTemplate(&b, "table", v); err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, b.String()); err != nil {
			return err
		}
	}
	text, err := viewsOf(ctx, db, dir, dir)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, text)
	return err
}

// viewsOf is the SQL of all views of the dataset in dir, which is named prefix there. The database has the
// views of the tables that list files already.
func viewsOf(ctx context.Context, db *sql.DB, dir, prefix string) (string, error) {
	contract, err := readContract()
	if err != nil {
		return "", err
	}
	var views []view
	for _, table := range slices.Sorted(maps.Keys(contract.Tables)) {
		v, err := viewOf(table, dir, prefix)
		if err != nil {
			return "", err
		}
		if listing, ok := listings[table]; ok {
			if v.Files, err = listedFiles(ctx, db, table, listing, prefix); err != nil {
				return "", err
			}
		}
		views = append(views, v)
	}
	var b strings.Builder
	err = viewsTemplate.Execute(&b, views)
	return b.String(), err
}

// viewOf is the view of a table, with all its files.
func viewOf(name, dir, prefix string) (view, error) {
	contract, err := readContract()
	if err != nil {
		return view{}, err
	}
	table := contract.Tables[name]
	v := view{Name: name, Columns: table.Columns, Ordered: name == RepliesTable}
	if table.partitioned() {
		v.Partitions = contract.Partitions
	}
	v.Files, err = parquetFiles(dir, name, prefix)
	return v, err
}

// listedFiles are the files of a table that another one lists, as far as they have rows.
func listedFiles(ctx context.Context, db *sql.DB, table, listing, prefix string) ([]string, error) {
	rows, err := db.QueryContext(ctx, fmt.Sprintf(`
		SELECT file.path FROM (SELECT * EXCLUDE (files), unnest(files) AS file FROM %s)
		WHERE starts_with(file.path, '%s/') ORDER BY date, COLUMNS('_id$'), file.path`, listing, table))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var files []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, fmt.Errorf("%s lists %q, which is not in the dataset", listing, name)
		}
		files = append(files, globEscaper.Replace(filepath.Join(prefix, filepath.FromSlash(name))))
	}
	return files, rows.Err()
}

// parquetFiles is the pattern of a table's Parquet files, if there are any, in the dataset in dir, named
// prefix in the pattern.
func parquetFiles(dir, table, prefix string) ([]string, error) {
	var parquet, arrow bool
	root := filepath.Join(dir, table)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		switch filepath.Ext(path) {
		case "." + string(Parquet):
			parquet = true
		case "." + string(Arrow):
			arrow = true
		}
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case arrow:
		return nil, fmt.Errorf("%s %w", root, ErrArrow)
	case parquet:
		return []string{globEscaper.Replace(filepath.Join(prefix, table)) + "/**/*.parquet"}, nil
	}
	return nil, nil
}

// A folder named in the pattern stands for itself, whatever its name.
var globEscaper = strings.NewReplacer(`[`, `[[]`, `*`, `[*]`, `?`, `[?]`)
