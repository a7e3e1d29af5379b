package parquetfile

import (
	"encoding/binary"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Whatever the values, validity and their place in the buffers: they are read as they were written.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("\x00\x01\x02"), []byte{0xff}, uint8(0), uint8(0))
	f.Add(make([]byte, 3000), []byte{0, 0xff, 0xaa}, uint8(3), uint8(40))
	f.Add(binary.LittleEndian.AppendUint64(nil, 1<<63), []byte{}, uint8(200), uint8(70))
	all := variants()
	f.Fuzz(func(t *testing.T, values, validity []byte, offset, which uint8) {
		if len(values) > 1<<20 {
			return
		}
		v := all[int(which)%len(all)]
		if v.index != nil {
			v.index = nil // asDictionary is slow
		}
		in := arrayOf(v.field, values, validity, int(offset))
		schema := arrow.NewSchema([]arrow.Field{v.field}, nil)
		f, got := read(t, write(t, schema, []Column{v.Column}, batchOf([]arrow.Array{in})))
		if in.Len() == 0 {
			if f.NumRowGroups() != 0 {
				t.Error("a row group without rows")
			}
			return
		}
		if err := same(in, got[0].Column(0)); err != nil {
			t.Errorf("%s, %s: %v", v.field, v.Encoding, err)
		}
	})
}

// arrayOf makes an array of bytes, less the first offset values. Texts are of 0 to 15 bytes.
func arrayOf(field arrow.Field, values, validity []byte, offset int) arrow.Array {
	buffers := []*memory.Buffer{nil, memory.NewBufferBytes(values)}
	var n int
	switch typ := field.Type.(type) {
	case *arrow.BooleanType:
		n = 8 * len(values)
	case arrow.FixedWidthDataType:
		n = len(values) / typ.Bytes()
	default:
		offsets := []int32{0}
		for at := 0; at < len(values); {
			at = min(len(values), at+int(values[at]&15))
			offsets = append(offsets, int32(at))
			if values[min(at, len(values)-1)]&15 == 0 {
				at++ // bytes of no value
				offsets = append(offsets, int32(min(at, len(values))))
			}
		}
		n = len(offsets) - 1
		buffers = []*memory.Buffer{nil, memory.NewBufferBytes(arrow.GetBytes(offsets)), memory.NewBufferBytes(values)}
	}
	nulls := 0
	if field.Nullable && len(validity) > 0 {
		n = min(n, 8*len(validity))
		nulls = array.UnknownNullCount
		buffers[0] = memory.NewBufferBytes(validity)
	}
	offset = min(offset, n)
	data := array.NewData(field.Type, n-offset, buffers, nil, nulls, offset)
	return array.MakeFromData(data)
}
