package parquetfile

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

const magic = "PAR1"

// createdBy has the form by which parquet-mr tells writers whose statistics were wrong once: it does
// not trust those of a name that it cannot parse.
const createdBy = "mpcensus version 1.0.0"

// Writer puts row groups into a file.
type Writer struct {
	to      io.Writer
	columns []column
	footer  *metadata.FileMetaDataBuilder
	offset  int64
	rows    int64
	groups  int
}

// NewWriter begins a file of the schema, whose fields are stored as columns says: as those of the
// encoders are that make its row groups.
func NewWriter(w io.Writer, schema *arrow.Schema, columns []Column) (*Writer, error) {
	of, err := layout(schema, columns)
	if err != nil {
		return nil, err
	}
	properties := parquet.NewWriterProperties(parquet.WithRootRepetition(parquet.Repetitions.Required),
		parquet.WithCreatedBy(createdBy))
	parquetSchema, err := pqarrow.ToParquet(schema, properties, pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, err
	}
	pairs := metadata.NewKeyValueMetadata()
	for i, key := range schema.Metadata().Keys() {
		if err := pairs.Append(key, schema.Metadata().Values()[i]); err != nil {
			return nil, err
		}
	}
	arrowSchema, err := serialize(schema)
	if err != nil {
		return nil, err
	}
	if err := pairs.Append("ARROW:schema", arrowSchema); err != nil {
		return nil, err
	}
	out := &Writer{to: w, columns: of, footer: metadata.NewFileMetadataBuilder(parquetSchema, properties, pairs)}
	return out, out.write([]byte(magic))
}

// serialize returns an Arrow schema as Arrow's libraries keep it in a Parquet file: an IPC stream
// without batches, in base64. It has what Parquet's schema has no place for, such as fields' metadata.
func serialize(schema *arrow.Schema) (string, error) {
	var stream bytes.Buffer
	if err := ipc.NewWriter(&stream, ipc.WithSchema(schema)).Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(stream.Bytes()), nil
}

// Append writes a row group, which can be used again at once. One without rows is left out.
func (w *Writer) Append(g *RowGroup) error {
	if len(g.chunks) != len(w.columns) {
		return fmt.Errorf("a row group of %d columns for a file of %d", len(g.chunks), len(w.columns))
	}
	if g.rows == 0 {
		return nil
	}
	if w.groups > math.MaxInt16 {
		return fmt.Errorf("a Parquet file has at most %d row groups", math.MaxInt16+1)
	}
	at := w.offset
	if err := w.write(g.data); err != nil {
		return err
	}
	group := w.footer.AppendRowGroup()
	group.SetNumRows(g.rows)
	for i := range g.chunks {
		c := &g.chunks[i]
		if err := c.describe(group.NextColumnChunk(), w.columns[i].typ, int64(g.rows), at); err != nil {
			return err
		}
		at += int64(c.size)
	}
	if err := group.Finish(0, int16(w.groups)); err != nil { // the first argument is not used
		return err
	}
	w.groups++
	w.rows += int64(g.rows)
	return nil
}

// describe puts a chunk into the footer: it begins at an offset of the file.
func (c *chunk) describe(to *metadata.ColumnChunkMetaDataBuilder, typ arrow.DataType, rows, at int64) error {
	to.SetStats(c.statistics(typ.ID() == arrow.TIMESTAMP))
	info := metadata.ChunkMetaInfo{
		NumValues:        rows,
		IndexPageOffset:  -1, // none
		DataPageOffset:   at + int64(c.dictionary),
		CompressedSize:   int64(c.size),
		UncompressedSize: int64(c.uncompressed),
	}
	pages := metadata.EncodingStats{DataEncodingStats: map[parquet.Encoding]int32{c.encoding: 1}}
	if c.entries > 0 {
		info.DictPageOffset = at
		pages.DictEncodingStats = map[parquet.Encoding]int32{parquet.Encodings.Plain: 1}
	}
	if err := to.Finish(info, c.entries > 0, false, pages); err != nil {
		return err
	}
	// The builder has these from the file's properties; here they are the chunk's own.
	out := to.Contents().MetaData
	setCodec(&out.Codec, c.codec)
	setEncodings(&out.Encodings, c.encodings())
	return nil
}

// setEncodings and setCodec assign to types that are internal to arrow-go and cannot be named.
func setEncodings[E ~int64](to *[]E, encodings []parquet.Encoding) {
	*to = (*to)[:0]
	for _, e := range encodings {
		*to = append(*to, E(e))
	}
}

func setCodec[C ~int64](to *C, codec compress.Compression) { *to = C(codec) }

// Rows returns the number of rows appended.
func (w *Writer) Rows() int64 { return w.rows }

// Close writes the footer. It does not close what the file is written to.
func (w *Writer) Close() error {
	footer, err := w.footer.Finish()
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if _, err := footer.WriteTo(&buf, nil); err != nil {
		return err
	}
	if buf.Len() > math.MaxInt32 {
		return errors.New("a Parquet footer of more than 2 GiB: fewer row groups a file")
	}
	tail := binary.LittleEndian.AppendUint32(buf.Bytes(), uint32(buf.Len()))
	return w.write(append(tail, magic...))
}

func (w *Writer) write(p []byte) error {
	n, err := w.to.Write(p)
	w.offset += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}
