package query

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// arrowRows is the most rows of an Arrow batch.
const arrowRows = 64 << 10

// openParquet reads a file of our own making, in batches.
func openParquet(ctx context.Context, f *os.File, rows int64) (pqarrow.RecordReader, error) {
	p, err := file.NewParquetReader(f)
	if err != nil {
		return nil, err
	}
	columns, err := pqarrow.NewFileReader(p, pqarrow.ArrowReadProperties{BatchSize: rows}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	return columns.GetRecordReader(ctx, nil, nil)
}

// batchWriter is what ipc has two of.
type batchWriter interface {
	Write(arrow.RecordBatch) error
	Close() error
}

// writeArrow turns a Parquet file into Arrow IPC.
func writeArrow(ctx context.Context, f *os.File, format Format, w io.Writer) error {
	batches, err := openParquet(ctx, f, arrowRows)
	if err != nil {
		return err
	}
	defer batches.Release()
	var out batchWriter = ipc.NewWriter(w, ipc.WithSchema(batches.Schema()))
	if format == Arrow {
		if out, err = ipc.NewFileWriter(w, ipc.WithSchema(batches.Schema())); err != nil {
			return err
		}
	}
	for batches.Next() {
		if err := out.Write(batches.RecordBatch()); err != nil {
			return err
		}
	}
	return errors.Join(batches.Err(), out.Close())
}
