package enrich

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/store"
)

// Hosts writes AS and country into the table hosts of the dataset in dir. A file is replaced as a whole;
// its rows keep their order and their other columns. One of an older version of the tables gets the
// columns that it lacks. When this is interrupted, some files have them and others do not: do it again.
// The same hosts and networks give the same bytes. It needs some 100 MB of memory, beside the networks.
//
// progress, if not nil, is called now and then with the number of rows written.
func Hosts(ctx context.Context, dir string, n *Networks, progress func(rows uint64)) error {
	files, err := hostsFiles(dir)
	if err != nil {
		return err
	}
	rows := uint64(0)
	for _, path := range files {
		err := rewrite(ctx, path, n, func(written int64) {
			rows += uint64(written)
			if progress != nil {
				progress(rows)
			}
		})
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// hostsFiles are the files of the table hosts, by name.
func hostsFiles(dir string) (files []string, err error) {
	err = filepath.WalkDir(filepath.Join(dir, dataset.HostsTable), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && filepath.Ext(path) == "."+string(dataset.Parquet) {
			files = append(files, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return files, err
}

// rowGroupRows is the length of batches and row groups: rows are sorted by address, so that one has few
// networks.
const rowGroupRows = 64 << 10

// rewrite replaces a file of hosts. written is called with the rows of each batch.
func rewrite(ctx context.Context, path string, n *Networks, written func(rows int64)) (err error) {
	before, err := os.Stat(path)
	if err != nil {
		return err
	}
	in, err := file.OpenParquetFile(path, false)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	defer in.Close()
	reader, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{BatchSize: rowGroupRows, Parallel: true}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	schema, err := dataset.Schema(dataset.HostsTable)
	if err != nil {
		return err
	}
	batches, err := reader.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer batches.Release()
	if err := checkColumns(batches.Schema(), schema); err != nil {
		return err
	}

	folder, err := store.Open(ctx, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	out, err := folder.Create(ctx, filepath.Base(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Discard()) }()
	writer, err := pqarrow.NewFileWriter(schema, struct{ io.Writer }{out}, hostsProperties(), pqarrow.DefaultWriterProps())
	if err != nil {
		return err
	}
	rows := int64(0)
	for batches.Next() {
		batch, err := withNetworks(batches.RecordBatch(), schema, n)
		if err != nil {
			return err
		}
		if err := writer.Write(batch); err != nil {
			return err
		}
		rows += batch.NumRows()
		written(batch.NumRows())
	}
	if err := batches.Err(); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if rows != in.NumRows() {
		return fmt.Errorf("has %d rows, but %d could be read: run mpcensus classify again", in.NumRows(), rows)
	}
	if err := writer.Close(); err != nil {
		return err
	}
	// What classify has written meanwhile must not be undone.
	if now, err := os.Stat(path); err != nil || !os.SameFile(before, now) {
		return errors.Join(errors.New("was replaced while it was read: run mpcensus enrich again, and classify not beside it"), err)
	}
	return out.Commit(ctx)
}

// hostsProperties: a dictionary saves nothing where values differ. Elsewhere it must hold all values of a
// row group: when it does not, arrow-go's bytes differ from run to run.
func hostsProperties() *parquet.WriterProperties {
	return parquet.NewWriterProperties(
		parquet.WithRootRepetition(parquet.Repetitions.Required),
		parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithDictionaryPageSizeLimit(1<<30),
		parquet.WithDictionaryFor("target", false),
		parquet.WithDictionaryFor("sender_key", false),
		parquet.WithDictionaryFor("excess_probability", false))
}

// checkColumns refuses a file that has other columns than the table hosts, of this version or an older one.
func checkColumns(has, want *arrow.Schema) error {
	for _, field := range has.Fields() {
		known, ok := want.FieldsByName(field.Name)
		if !ok {
			return fmt.Errorf("has a column %s that this version of mpcensus does not know: use the one that wrote it", field.Name)
		}
		if !arrow.TypeEqual(field.Type, known[0].Type) {
			return fmt.Errorf("has %v in the column %s, not %v: run mpcensus classify again", field.Type, field.Name, known[0].Type)
		}
	}
	if !has.HasField("target") {
		return errors.New("has no column target: run mpcensus classify again")
	}
	return nil
}

// withNetworks is a batch with all columns of the schema.
func withNetworks(batch arrow.RecordBatch, schema *arrow.Schema, n *Networks) (arrow.RecordBatch, error) {
	targets, err := columnOf[*array.String](batch, "target")
	if err != nil {
		return nil, err
	}
	networks := networkArrays(targets, n)
	columns := make([]arrow.Array, schema.NumFields())
	for i, field := range schema.Fields() {
		switch at := batch.Schema().FieldIndices(field.Name); {
		case networks[field.Name] != nil:
			columns[i] = networks[field.Name]
		case len(at) == 1:
			columns[i] = batch.Column(at[0])
		default:
			columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, field.Type, int(batch.NumRows()))
		}
	}
	return array.NewRecordBatch(schema, columns, batch.NumRows()), nil
}

// networkArrays looks the targets up.
func networkArrays(targets *array.String, n *Networks) map[string]arrow.Array {
	asn := array.NewUint32Builder(memory.DefaultAllocator)
	name := array.NewStringBuilder(memory.DefaultAllocator)
	country := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range targets.Len() {
		target, _ := netip.ParseAddr(targets.Value(i)) // what is no address is in no network
		network := n.Lookup(target)
		if network.ASN == 0 {
			asn.AppendNull()
		} else {
			asn.Append(network.ASN)
		}
		appendText(name, network.ASName)
		appendText(country, network.Country)
	}
	return map[string]arrow.Array{"asn": asn.NewArray(), "as_name": name.NewArray(), "country": country.NewArray()}
}

func appendText(b *array.StringBuilder, s string) {
	if s == "" {
		b.AppendNull()
	} else {
		b.Append(s)
	}
}
