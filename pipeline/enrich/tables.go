package enrich

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// Write writes the tables networks and sources into the dataset in dir, in place of those before. Each
// appears whole or not at all; the same sources give the same bytes. The database is that of
// [dataset.OpenDuckDB].
func Write(ctx context.Context, db *sql.DB, dir string, n *Networks, sources []*Source) error {
	// Without sources rather than with those of other networks, should this end between the two.
	if err := writeSources(ctx, db, dir, nil); err != nil {
		return err
	}
	err := writeTable(ctx, db, dir, dataset.NetworksTable, func(add func(...driver.Value) error) error {
		for r := range n.Ranges() {
			if err := add(familyOf(r.First), r.First.String(), r.Last.String(),
				asnValue(r.Network), textValue(r.ASName), textValue(r.Country)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeSources(ctx, db, dir, sources)
}

func writeSources(ctx context.Context, db *sql.DB, dir string, sources []*Source) error {
	return writeTable(ctx, db, dir, dataset.SourcesTable, func(add func(...driver.Value) error) error {
		for _, s := range sources {
			if err := add(s.Name, string(s.Gives), s.Format, textValue(s.Family()), textValue(s.Date), s.SHA256,
				s.Ranges, s.Rejected, textValue(s.Licence), textValue(s.Attribution)); err != nil {
				return err
			}
		}
		return nil
	})
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return dataset.IPv4
	}
	return dataset.IPv6
}

// writeTable writes a table of the whole dataset, whose columns are those of its view.
func writeTable(ctx context.Context, db *sql.DB, dir, table string, rows func(add func(...driver.Value) error) error) error {
	unwritten := "new_" + table
	if _, err := db.ExecContext(ctx, "CREATE OR REPLACE TEMP TABLE "+unwritten+" AS FROM "+table+" LIMIT 0"); err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	// Closed before the next statement, which needs the only connection.
	if err := errors.Join(appendRows(conn, unwritten, rows), conn.Close()); err != nil {
		return err
	}
	if err := dataset.WriteParquet(ctx, db, "FROM "+unwritten, filepath.Join(dir, dataset.WholeFile(table))); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "DROP TABLE "+unwritten)
	return err
}

// Read reads the table networks of the dataset in dir. There are no networks, nil, when it has no such
// table: then it was not enriched.
func Read(ctx context.Context, dir string) (*Networks, error) {
	path := filepath.Join(dir, dataset.WholeFile(dataset.NetworksTable))
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := readNetworks(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: run mpcensus enrich again", path, err)
	}
	return n, nil
}

func readNetworks(ctx context.Context, f *os.File) (*Networks, error) {
	parquet, err := file.NewParquetReader(f)
	if err != nil {
		return nil, fmt.Errorf("is no Parquet file: %w", err)
	}
	reader, err := pqarrow.NewFileReader(parquet, pqarrow.ArrowReadProperties{BatchSize: 64 << 10}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	batches, err := reader.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	defer batches.Release()
	t := &tableReader{list: newNetworkList(), networks: &Networks{}}
	for batches.Next() {
		if err := t.read(batches.RecordBatch()); err != nil {
			return nil, err
		}
	}
	if err := batches.Err(); err != nil {
		return nil, err
	}
	t.networks.step(t.last.Next(), 0)
	t.networks.known = t.list.networks
	return t.networks.done(), nil
}

// tableReader makes Networks of the rows of the table.
type tableReader struct {
	list     *networkList
	networks *Networks
	last     netip.Addr // of the range before
}

func (t *tableReader) read(batch arrow.RecordBatch) error {
	first, err1 := columnOf[*array.String](batch, "first")
	last, err2 := columnOf[*array.String](batch, "last")
	asn, err3 := columnOf[*array.Uint32](batch, "asn")
	name, err4 := columnOf[*array.String](batch, "as_name")
	country, err5 := columnOf[*array.String](batch, "country")
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	for i := range int(batch.NumRows()) {
		var n Network
		if asn.IsValid(i) {
			n.ASN = asn.Value(i)
		}
		if name.IsValid(i) {
			n.ASName = name.Value(i)
		}
		if country.IsValid(i) {
			n.Country = country.Value(i)
		}
		if err := t.add(first.Value(i), last.Value(i), n); err != nil {
			return err
		}
	}
	return nil
}

func columnOf[A arrow.Array](batch arrow.RecordBatch, name string) (column A, err error) {
	if indices := batch.Schema().FieldIndices(name); len(indices) == 1 {
		if column, ok := batch.Column(indices[0]).(A); ok {
			return column, nil
		}
	}
	return column, fmt.Errorf("has not the column %s of the table networks", name)
}

// add takes the next range: they are disjoint and in order.
func (t *tableReader) add(from, to string, n Network) error {
	first, err := parseAddress(from)
	if err != nil {
		return err
	}
	last, err := parseAddress(to)
	if err != nil {
		return err
	}
	if first, last, err = ordered(first, last); err != nil {
		return err
	}
	if t.last.IsValid() && !t.last.Less(first) {
		return fmt.Errorf("the range of %v is not behind that of %v", first, t.last)
	}
	if t.last.IsValid() {
		t.networks.step(t.last.Next(), 0)
	}
	t.networks.step(first, t.list.place(n))
	t.last = last
	return nil
}
