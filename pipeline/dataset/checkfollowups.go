package dataset

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

// listing is a table of runs that followed up a scan; its rows list the files that a run made.
type listing struct{ table, key, command string }

var followUps = []listing{
	{TracesTable, "trace_id", "trace"},
	{VerificationsTable, "verification_id", "verify"},
}

// commandOf is the command that fills a table of followUps.
func commandOf(table string) string {
	for _, l := range followUps {
		if l.table == table {
			return l.command
		}
	}
	return ""
}

// followUp is a row of such a table.
type followUp struct {
	id    string
	files []File
}

// checkFollowUps checks the tables of traces and verifications, and the files that they list. A run is
// written once and never changed, so that nothing has to be asked twice.
func (c *checker) checkFollowUps(ctx context.Context) error {
	for _, l := range followUps {
		for info, err := range c.dataset.store.List(ctx, l.table) {
			if err != nil {
				return err
			}
			if err := c.checkFollowUp(ctx, l, info.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) checkFollowUp(ctx context.Context, l listing, name string) error {
	c.scans[name] = true
	runs, err := c.dataset.readFollowUps(ctx, l, name)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		c.problem(name, "%v: restore it, or remove it and run mpcensus %s again", err, l.command)
		return nil
	}
	for _, run := range runs {
		for _, f := range run.files {
			err := c.checkFollowUpFile(ctx, l, run, f)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				c.problem(f.Path, "%v: restore it, or remove %s and run mpcensus %s again", err, name, l.command)
			}
			c.listed[f.Path] = true
			c.report.add(f.Rows, f.Bytes)
			c.advance(f.Rows, f.Bytes)
		}
	}
	return nil
}

// checkFollowUpFile says what is wrong with a file that a run lists.
func (c *checker) checkFollowUpFile(ctx context.Context, l listing, run followUp, f File) error {
	table, _, _ := strings.Cut(f.Path, "/")
	if listings[table] != l.table && table != rejectsFolder {
		return fmt.Errorf("is listed by %s, which has no such file", l.table)
	}
	in, err := c.dataset.store.Open(ctx, f.Path)
	if isMissing(err) {
		return fmt.Errorf("is missing, but %s lists it", run.id)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	rows, err := checkBytes(ctx, in, f)
	if err == nil && table != rejectsFolder {
		rows, err = checkDerived(ctx, in, table, &owner{l.key, run.id})
	}
	if err != nil {
		return err
	}
	return checkRows(rows, f)
}

// readFollowUps reads a file of a table of followUps.
func (d *Dataset) readFollowUps(ctx context.Context, l listing, name string) (runs []followUp, err error) {
	defer guard(&err)
	content, err := store.ReadFile(ctx, d.store, name, maxScanFile)
	if err != nil {
		return nil, err
	}
	batch, err := readFirstBatch(ctx, content, Format(strings.TrimPrefix(path.Ext(name), ".")))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer batch.Release()
	if err := checkSchema(l.table, batch.Schema()); err != nil {
		return nil, err
	}
	ids, ok0 := batch.Column(batch.Schema().FieldIndices(l.key)[0]).(*array.String)
	list, ok1 := batch.Column(batch.Schema().FieldIndices("files")[0]).(*array.List)
	if !ok0 || !ok1 {
		return nil, errors.New("not a file of the table " + l.table)
	}
	for i := range ids.Len() {
		files, err := readFiles(list, i)
		if err != nil {
			return nil, err
		}
		runs = append(runs, followUp{ids.Value(i), files})
	}
	return runs, nil
}
