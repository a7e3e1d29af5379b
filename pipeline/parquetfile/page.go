package parquetfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/DataDog/zstd"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// maxPage is the greatest size of a page, in bytes. parquet.thrift has it in 32 bits with a sign.
const maxPage = math.MaxInt32

// pageType is PageType in parquet.thrift.
type pageType int

const (
	dataPage       pageType = 0
	dictionaryPage pageType = 2
)

// writePages appends the chunk to the row group: a page for the dictionary, if there is one, and a
// page for all values. They are compressed if that pays.
func (e *Encoder) writePages(c *column, into *RowGroup, out *chunk) error {
	if len(e.body) > maxPage || len(e.entries) > maxPage {
		return fmt.Errorf("more than %d bytes in a row group", maxPage)
	}
	if c.Compress != Uncompressed {
		var err error
		if e.packedBody, err = e.compress(e.packedBody, e.body, c.Compress); err != nil {
			return err
		}
		e.packedEntries = e.packedEntries[:0]
		if out.entries > 0 {
			if e.packedEntries, err = e.compress(e.packedEntries, e.entries, c.Compress); err != nil {
				return err
			}
		}
		// Less is not worth the reader's time.
		if packed, raw := len(e.packedBody)+len(e.packedEntries), len(e.body)+len(e.entries); packed <= raw*97/100 {
			out.codec = compress.Codecs.Zstd
			e.appendPages(into, out, e.packedEntries, e.packedBody)
			return nil
		}
	}
	out.codec = compress.Codecs.Uncompressed
	e.appendPages(into, out, e.entries, e.body)
	return nil
}

// zstdLevel takes hardly longer for TCP options than level 1, and makes 6 % less of them.
const zstdLevel = 2

// compress returns src as a zstd frame, in buffer if there is room.
func (e *Encoder) compress(buffer, src []byte, by Compression) ([]byte, error) {
	if by == Huffman {
		return e.literals.appendFrame(buffer[:0], src), nil
	}
	bound := zstd.CompressBound(len(src))
	return e.zstd.CompressLevel(slices.Grow(buffer[:0], bound)[:bound], src, zstdLevel)
}

// appendPages appends pages with these bodies, which are those of the encoder, maybe compressed.
func (e *Encoder) appendPages(into *RowGroup, out *chunk, entries, body []byte) {
	begin := len(into.data)
	if out.entries > 0 {
		into.data = appendPageHeader(into.data, dictionaryPage, len(e.entries), len(entries), out.entries, parquet.Encodings.Plain)
		into.data = append(into.data, entries...)
		out.dictionary = len(into.data) - begin
	}
	into.data = appendPageHeader(into.data, dataPage, len(e.body), len(body), into.rows, out.encoding)
	into.data = append(into.data, body...)
	out.size = len(into.data) - begin
	out.uncompressed = out.size - len(entries) - len(body) + len(e.entries) + len(e.body)
}

// appendPageHeader appends a PageHeader of parquet.thrift in Thrift's compact protocol. That of
// arrow-go is internal, and its writer of pages compresses those of dictionaries whether it pays or not.
// https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
func appendPageHeader(dst []byte, kind pageType, uncompressed, compressed, values int, encoding parquet.Encoding) []byte {
	const structure, end = 12, 0
	dst = appendNextInt(dst, int(kind))
	dst = appendNextInt(dst, uncompressed)
	dst = appendNextInt(dst, compressed)
	if kind == dictionaryPage {
		dst = append(dst, 4<<4|structure) // dictionary_page_header is field 7, after 3
		dst = appendNextInt(dst, values)
		dst = appendNextInt(dst, int(encoding))
		return append(dst, end, end)
	}
	dst = append(dst, 2<<4|structure) // data_page_header is field 5, after 3
	dst = appendNextInt(dst, values)
	dst = appendNextInt(dst, int(encoding))
	dst = appendNextInt(dst, int(parquet.Encodings.RLE)) // of definition levels
	dst = appendNextInt(dst, int(parquet.Encodings.RLE)) // of repetition levels
	return append(dst, end, end)
}

// appendNextInt appends a field of type i32 whose number is the last one's plus 1.
func appendNextInt(dst []byte, v int) []byte {
	const i32 = 5
	return binary.AppendVarint(append(dst, 1<<4|i32), int64(v))
}
