package trace

import (
	"net/netip"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/parquetfile"
)

// hopsLayout says how the columns of `hops` are stored, by name; states are few values.
func hopsLayout(schema *arrow.Schema) []parquetfile.Column {
	few := parquetfile.Column{Encoding: parquetfile.Dictionary, Compress: parquetfile.Zstd}
	bytesLike := parquetfile.Column{Encoding: parquetfile.DeltaLength, Compress: parquetfile.Zstd}
	special := map[string]parquetfile.Column{
		"target":      few,
		"time":        {Encoding: parquetfile.Plain, Compress: parquetfile.Zstd},
		"quote":       bytesLike,
		"sent":        bytesLike,
		"tcp_options": bytesLike,
		"sender_key":  {Encoding: parquetfile.Plain, Compress: parquetfile.Zstd},
	}
	columns := make([]parquetfile.Column, schema.NumFields())
	for i, field := range schema.Fields() {
		var ok bool
		if columns[i], ok = special[field.Name]; !ok {
			columns[i] = few
		}
	}
	return columns
}

// names is a column of text with few values, each named by a number.
type names struct {
	indices []uint8
	valid   []bool
}

func (n *names) append(index uint8, valid bool) {
	n.indices, n.valid = append(n.indices, index), append(n.valid, valid)
}

func (n *names) reset() { n.indices, n.valid = n.indices[:0], n.valid[:0] }

func (n *names) array(values arrow.Array) arrow.Array {
	b := array.NewUint8Builder(memory.DefaultAllocator)
	b.AppendValues(n.indices, n.valid)
	return array.NewDictionaryArray(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.BinaryTypes.String},
		b.NewArray(), values)
}

// texts is an array of text.
func texts(values ...string) arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.AppendValues(values, nil)
	return b.NewArray()
}

var (
	answerTexts   = texts(timeExceeded.String(), unreachable.String(), otherICMP.String(), synack.String(), rst.String())
	stateTexts    = texts(Absent.String(), Kept.String(), Changed.String(), Removed.String(), NotQuoted.String())
	presenceTexts = texts("", "none", "capable", "malformed", "other") // as presences
)

// hopColumns are rows of `hops` in the making.
type hopColumns struct {
	schema *arrow.Schema
	id     arrow.Array // of the trace, once

	traceID, answer, mptcp names
	states                 [numFields]names
	target, responder      *array.StringBuilder
	added                  *array.StringBuilder
	probeTTL, replyTTL     *array.Uint8Builder
	icmpType, icmpCode     *array.Uint8Builder
	time                   *array.TimestampBuilder
	quotedBytes            *array.Uint16Builder
	quote, sent, options   *array.BinaryBuilder
	senderKey              *array.Uint64Builder

	last     netip.Addr // the last row's target
	lastText string
}

func newHopColumns(schema *arrow.Schema, traceID string) *hopColumns {
	m := memory.DefaultAllocator
	binary := func() *array.BinaryBuilder { return array.NewBinaryBuilder(m, arrow.BinaryTypes.Binary) }
	return &hopColumns{
		schema: schema, id: texts(traceID),
		target: array.NewStringBuilder(m), responder: array.NewStringBuilder(m), added: array.NewStringBuilder(m),
		probeTTL: array.NewUint8Builder(m), replyTTL: array.NewUint8Builder(m),
		icmpType: array.NewUint8Builder(m), icmpCode: array.NewUint8Builder(m),
		time:        array.NewTimestampBuilder(m, arrow.FixedWidthTypes.Timestamp_us.(*arrow.TimestampType)),
		quotedBytes: array.NewUint16Builder(m), quote: binary(), sent: binary(), options: binary(),
		senderKey: array.NewUint64Builder(m),
	}
}

func (c *hopColumns) append(h *hop) {
	icmp := h.answer.icmp()
	c.traceID.append(0, true)
	if c.last != h.target {
		c.last, c.lastText = h.target, h.target.String()
	}
	c.target.Append(c.lastText)
	c.probeTTL.Append(h.ttl)
	if h.micros != 0 {
		c.time.Append(arrow.Timestamp(h.micros))
	} else {
		c.time.AppendNull()
	}
	if h.responder == h.target {
		c.responder.Append(c.lastText)
	} else {
		c.responder.Append(h.responder.String())
	}
	c.answer.append(uint8(h.answer), true)
	appendIf(c.icmpType, h.icmpType, icmp)
	appendIf(c.icmpCode, h.icmpCode, icmp)
	appendIf(c.replyTTL, h.replyTTL, h.has&hasReplyTTL != 0)
	appendIf(c.quotedBytes, uint16(len(h.quote)), icmp)
	appendIf(c.quote, h.quote, icmp)
	c.sent.Append(h.sent)
	appendIf(c.options, h.options, h.has&hasOptions != 0)
	presence := max(slices.Index(presences, h.mptcp), 0)
	c.mptcp.append(uint8(presence), presence > 0)
	appendIf(c.senderKey, h.key, h.has&hasSenderKey != 0)
	for f := range h.States {
		c.states[f].append(uint8(h.States[f]), icmp && h.States[f] != Absent)
	}
	if icmp {
		c.added.Append(h.Added())
	} else {
		c.added.AppendNull()
	}
}

func appendIf[T any](b interface {
	Append(T)
	AppendNull()
}, v T, valid bool) {
	if valid {
		b.Append(v)
	} else {
		b.AppendNull()
	}
}

// batch takes the rows that were appended.
func (c *hopColumns) batch() arrow.RecordBatch {
	arrays := map[string]arrow.Array{
		"trace_id": c.traceID.array(c.id), "target": c.target.NewArray(), "probe_ttl": c.probeTTL.NewArray(),
		"time": c.time.NewArray(), "responder": c.responder.NewArray(), "answer": c.answer.array(answerTexts),
		"icmp_type": c.icmpType.NewArray(), "icmp_code": c.icmpCode.NewArray(), "reply_ttl": c.replyTTL.NewArray(),
		"quoted_bytes": c.quotedBytes.NewArray(), "quote": c.quote.NewArray(), "sent": c.sent.NewArray(),
		"tcp_options": c.options.NewArray(), "mptcp": c.mptcp.array(presenceTexts), "sender_key": c.senderKey.NewArray(),
		"opt_added": c.added.NewArray(),
	}
	for f := range c.states {
		arrays[Field(f).String()] = c.states[f].array(stateTexts)
		c.states[f].reset()
	}
	rows := len(c.traceID.indices)
	for _, n := range []*names{&c.traceID, &c.answer, &c.mptcp} {
		n.reset()
	}
	return batchOf(c.schema, arrays, rows)
}

// batchOf puts columns into the order of a schema, which must have exactly these. Some are dictionaries of its types.
func batchOf(schema *arrow.Schema, arrays map[string]arrow.Array, rows int) arrow.RecordBatch {
	columns := make([]arrow.Array, schema.NumFields())
	fields := make([]arrow.Field, schema.NumFields())
	for i, field := range schema.Fields() {
		column, ok := arrays[field.Name]
		if !ok || len(arrays) != len(columns) {
			panic("schemas/tables.yaml has other columns than the program: " + field.Name)
		}
		columns[i] = column
		fields[i] = arrow.Field{Name: field.Name, Type: column.DataType(), Nullable: true}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(rows))
}

func schemaOf(table string) *arrow.Schema {
	schema, err := dataset.Schema(table)
	if err != nil {
		panic(err) // the file is embedded
	}
	return schema
}
