package parquetfile

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// RowGroup is a row group as it will be in a file, wherever in the file. The zero value is ready for
// use.
type RowGroup struct {
	rows   int
	data   []byte // pages with their headers, column chunk by column chunk
	chunks []chunk
}

// Rows returns the number of rows.
func (g *RowGroup) Rows() int { return g.rows }

// Size returns the number of bytes that it takes in a file, without its part of the footer.
func (g *RowGroup) Size() int { return len(g.data) }

// chunk is a column of a row group.
type chunk struct {
	size         int // in the row group's data
	uncompressed int // size before compression
	dictionary   int // size of the dictionary page, 0 if there is none
	entries      int // in the dictionary
	encoding     parquet.Encoding
	codec        compress.Compression

	nulls           int
	hasRange        bool
	least, greatest []byte // as PLAIN encodes them, without a string's length
}

func (g *RowGroup) reset(rows, columns int) {
	g.rows, g.data = rows, g.data[:0]
	g.chunks = resized(g.chunks, columns)
	for i := range g.chunks {
		g.chunks[i] = chunk{least: g.chunks[i].least[:0], greatest: g.chunks[i].greatest[:0]}
	}
}

// maxStatistic bounds the least and greatest values in the footer, which every reader reads. Long
// values help nobody to skip a row group, and there is no mark for a shortened one that all know.
const maxStatistic = 64 // bytes

func (c *chunk) setRange(least, greatest []byte) {
	if len(least) > maxStatistic || len(greatest) > maxStatistic {
		return
	}
	c.hasRange = true
	c.least = append(c.least, least...)
	c.greatest = append(c.greatest, greatest...)
}

func (c *chunk) setRange32(least, greatest uint32) {
	c.hasRange = true
	c.least = binary.LittleEndian.AppendUint32(c.least, least)
	c.greatest = binary.LittleEndian.AppendUint32(c.greatest, greatest)
}

func (c *chunk) setRange64(least, greatest uint64) {
	c.hasRange = true
	c.least = binary.LittleEndian.AppendUint64(c.least, least)
	c.greatest = binary.LittleEndian.AppendUint64(c.greatest, greatest)
}

// statistics returns a copy that outlives the row group's memory.
func (c *chunk) statistics(signed bool) metadata.EncodedStatistics {
	s := metadata.EncodedStatistics{HasNullCount: true, NullCount: int64(c.nulls), Signed: signed}
	if c.hasRange {
		s.SetMin(append([]byte{}, c.least...))
		s.SetMax(append([]byte{}, c.greatest...))
	}
	return s
}

// encodings lists all that are in the chunk: of values, levels and dictionary.
func (c *chunk) encodings() []parquet.Encoding {
	if c.entries > 0 {
		return []parquet.Encoding{c.encoding, parquet.Encodings.Plain, parquet.Encodings.RLE}
	}
	return []parquet.Encoding{c.encoding, parquet.Encodings.RLE}
}
