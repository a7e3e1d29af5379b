package dataset

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

const (
	// batchRows and batchBytes bound a batch, which is a row group in Parquet: whichever is reached
	// first. Both depend on the rows alone, so that the same rows give the same bytes.
	batchRows  = 65536
	batchBytes = 16 << 20 // of values of variable length

	// maxDictionary is more than the dictionary of a batch can have (see encodings), so that no column
	// falls back to plain encoding: after a fallback the library writes its footer in random order.
	maxDictionary = batchRows * 128
)

// encoding is how Parquet stores a column. Without one it is plain and compressed.
type encoding struct {
	dictionary bool
	as         parquet.Encoding
	raw        bool // not compressed
}

// encodings lists the columns that deserve an encoding, by what they hold. Dictionaries are for
// columns that repeat few values; no value of theirs is longer than 84 bytes, and none of the
// numbers has more than 65,536 values.
var encodings = map[string]encoding{
	"scan_id":        {dictionary: true},
	"daddr":          {dictionary: true},
	"ttl":            {dictionary: true},
	"tcp_flags":      {dictionary: true},
	"classification": {dictionary: true},
	"mss":            {dictionary: true},
	"window_scale":   {dictionary: true},
	"option_order":   {dictionary: true},
	"mptcp":          {dictionary: true},
	"canary":         {dictionary: true},
	"mptcp_version":  {dictionary: true},
	"mptcp_flags":    {dictionary: true},
	"mptcp_length":   {dictionary: true},
	"key_weight":     {dictionary: true},
	"key_distance":   {dictionary: true},
	"icmp_type":      {dictionary: true},
	"icmp_code":      {dictionary: true},

	"time":   {as: parquet.Encodings.DeltaBinaryPacked},
	"sport":  {as: parquet.Encodings.DeltaBinaryPacked},
	"dport":  {as: parquet.Encodings.DeltaBinaryPacked},
	"ipid":   {as: parquet.Encodings.DeltaBinaryPacked},
	"window": {as: parquet.Encodings.DeltaBinaryPacked},

	"saddr":       {as: parquet.Encodings.DeltaLengthByteArray},
	"responder":   {as: parquet.Encodings.DeltaLengthByteArray},
	"tcp_options": {as: parquet.Encodings.DeltaLengthByteArray},
	"quote":       {as: parquet.Encodings.DeltaLengthByteArray},

	// Random bits.
	"seqnum":      {raw: true},
	"acknum":      {raw: true},
	"sender_key":  {raw: true},
	"sent_canary": {raw: true},
}

// tableFile writes the rows of one table into one file, batch by batch.
type tableFile struct {
	file   *AtomicFile
	out    batchWriter
	batch  *array.RecordBuilder
	rows   int64 // in the batch
	bytes  int64 // in the batch, of values of variable length
	footer int64 // bound on the footer's size for the batches written
}

// batchWriter is what Parquet and Arrow IPC have in common.
type batchWriter interface {
	Write(arrow.RecordBatch) error
	Close() error
}

func createTable(dir, table string, format Format) (*tableFile, error) {
	schema, err := Schema(table)
	if err != nil {
		return nil, err
	}
	file, err := CreateAtomic(filepath.Join(dir, table))
	if err != nil {
		return nil, err
	}
	t := &tableFile{file: file, batch: array.NewRecordBuilder(memory.DefaultAllocator, schema)}
	if err := t.reserve(0); err != nil {
		return nil, joinDiscard(err, file)
	}
	// The libraries close a writer that can be closed; this file has to be synced and renamed first.
	if t.out, err = newBatchWriter(struct{ io.Writer }{file}, schema, format); err != nil {
		return nil, joinDiscard(err, file)
	}
	return t, nil
}

func newBatchWriter(w io.Writer, schema *arrow.Schema, format Format) (batchWriter, error) {
	switch format {
	case Parquet:
		return pqarrow.NewFileWriter(schema, w, parquetProperties(schema),
			pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	case Arrow:
		return ipc.NewFileWriter(w, ipc.WithSchema(schema))
	default:
		return nil, fmt.Errorf("unknown format %q: %s or %s", format, Parquet, Arrow)
	}
}

func parquetProperties(schema *arrow.Schema) *parquet.WriterProperties {
	options := []parquet.WriterProperty{
		parquet.WithRootRepetition(parquet.Repetitions.Required),
		parquet.WithMaxRowGroupLength(batchRows),
		parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithCompressionLevel(1),
		parquet.WithDictionaryDefault(false),
		parquet.WithDictionaryPageSizeLimit(maxDictionary),
		// The smallest and greatest of longer values help nobody, and would need room in the footer.
		parquet.WithMaxStatsSize(256),
	}
	for _, field := range schema.Fields() {
		e, ok := encodings[field.Name]
		if !ok {
			continue
		}
		switch {
		case e.dictionary:
			options = append(options, parquet.WithDictionaryFor(field.Name, true))
		case e.raw:
			options = append(options, parquet.WithCompressionFor(field.Name, compress.Codecs.Uncompressed))
		default:
			options = append(options, parquet.WithEncodingFor(field.Name, e.as))
		}
	}
	return parquet.NewWriterProperties(options...)
}

// Bounds on the size of a file's parts, for reserve. TestBounds holds them against hostile rows.
const (
	fileBound   = 128 << 10 // head and foot: schema with metadata, twice
	columnBound = 8 << 10   // a column in a batch: page heads, padding, statistics
	footBound   = 2 << 10   // a column of a batch in the footer
	valueBound  = 14        // a value of fixed length, or the rest of one of variable length: 8 bytes, levels, dictionary index
)

// reserve makes sure that what is in the batch, another row with n bytes in values of variable
// length, and the end of the file can be written.
func (t *tableFile) reserve(n int64) error {
	return t.file.Reserve(t.bound(n))
}

func (t *tableFile) bound(n int64) int64 {
	columns := int64(t.batch.Schema().NumFields())
	variable := t.bytes + n
	return fileBound + t.footer +
		columns*(columnBound+footBound) +
		columns*valueBound*(t.rows+1) +
		variable + variable/16
}

// added notes a row in the batch, with n bytes in values of variable length.
func (t *tableFile) added(n int) error {
	t.rows++
	t.bytes += int64(n)
	if t.rows == batchRows || t.bytes >= batchBytes {
		return t.flush()
	}
	return nil
}

func (t *tableFile) flush() error {
	batch := t.batch.NewRecordBatch()
	defer batch.Release()
	for i, field := range batch.Schema().Fields() {
		// The Parquet library would write zeros.
		if !field.Nullable && batch.Column(i).NullN() > 0 {
			return fmt.Errorf("column %q has a NULL, which schemas/tables.yaml does not allow", field.Name)
		}
	}
	t.rows, t.bytes = 0, 0
	t.footer += int64(batch.NumCols()) * footBound
	return t.out.Write(batch)
}

func (t *tableFile) commit(path string) error {
	if t.rows > 0 {
		if err := t.flush(); err != nil {
			return joinDiscard(err, t.file)
		}
	}
	t.batch.Release()
	if err := t.out.Close(); err != nil {
		return joinDiscard(err, t.file)
	}
	return t.file.Commit(path)
}

// columnBuilders hands out the builders of a table's columns by name.
type columnBuilders struct {
	batch *array.RecordBuilder
	bound map[string]bool
	err   error
}

// builder returns the builder of a column, which must be a B.
func builder[B array.Builder](c *columnBuilders, name string) B {
	var none B
	indices := c.batch.Schema().FieldIndices(name)
	if len(indices) != 1 || c.bound[name] {
		c.err = fmt.Errorf("schemas/tables.yaml: %d columns %q, or asked for twice", len(indices), name)
		return none
	}
	c.bound[name] = true
	b, ok := c.batch.Field(indices[0]).(B)
	if !ok {
		c.err = fmt.Errorf("schemas/tables.yaml: column %q is not what %T builds", name, none)
	}
	return b
}

// done says whether every column has been asked for, each with its own type.
func (c *columnBuilders) done() error {
	if c.err == nil && len(c.bound) != c.batch.Schema().NumFields() {
		c.err = fmt.Errorf("schemas/tables.yaml: %d columns, of which the program fills %d",
			c.batch.Schema().NumFields(), len(c.bound))
	}
	return c.err
}
