package dataset

import (
	"database/sql"
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Replies collects rows of the table `replies`, of one scan. Its memory is used again after Reset. Not
// safe for concurrent use.
type Replies struct {
	schema  *arrow.Schema
	columns []columnBuilder // in the schema's order
	scan    ScanKey         // of the rows
	replyColumns

	present, truths rowBits  // a row's values that are not NULL, and those that are true
	valid, truth    []bitmap // the same by column, made by Batch
}

// replyColumns are the columns of `replies`, in the order of schemas/tables.yaml.
type replyColumns struct {
	scanID         names
	time           numbers[arrow.Timestamp]
	saddr          texts
	sport          numbers[uint16]
	daddr          names
	dport          numbers[uint16]
	ttl            numbers[uint8]
	ipid           numbers[uint16]
	seqnum         numbers[uint32]
	acknum         numbers[uint32]
	window         numbers[uint16]
	tcpFlags       numbers[uint8]
	classification names
	success        truths
	repeat         truths
	cooldown       truths
	tcpOptions     texts
	mss            numbers[uint16]
	windowScale    numbers[uint8]
	sackPermitted  truths
	tsValue        numbers[uint32]
	tsEcho         numbers[uint32]
	optionOrder    names
	mptcp          names
	mptcpVersion   numbers[uint8]
	mptcpFlags     numbers[uint8]
	mptcpLength    numbers[uint8]
	senderKey      numbers[uint64]
	sentKey        numbers[uint64]
	keyWeight      numbers[uint8]
	keyDistance    numbers[uint8]
	echo           truths
	sentCanary     numbers[uint32]
	canary         names
	responder      texts
	icmpType       numbers[uint8]
	icmpCode       numbers[uint8]
	quote          texts

	daddrText daddrText
}

// byName are the columns by their names in schemas/tables.yaml.
func (c *replyColumns) byName() map[string]columnBuilder {
	return map[string]columnBuilder{
		"scan_id":        &c.scanID,
		"time":           &c.time,
		"saddr":          &c.saddr,
		"sport":          &c.sport,
		"daddr":          &c.daddr,
		"dport":          &c.dport,
		"ttl":            &c.ttl,
		"ipid":           &c.ipid,
		"seqnum":         &c.seqnum,
		"acknum":         &c.acknum,
		"window":         &c.window,
		"tcp_flags":      &c.tcpFlags,
		"classification": &c.classification,
		"success":        &c.success,
		"repeat":         &c.repeat,
		"cooldown":       &c.cooldown,
		"tcp_options":    &c.tcpOptions,
		"mss":            &c.mss,
		"window_scale":   &c.windowScale,
		"sack_permitted": &c.sackPermitted,
		"ts_value":       &c.tsValue,
		"ts_echo":        &c.tsEcho,
		"option_order":   &c.optionOrder,
		"mptcp":          &c.mptcp,
		"mptcp_version":  &c.mptcpVersion,
		"mptcp_flags":    &c.mptcpFlags,
		"mptcp_length":   &c.mptcpLength,
		"sender_key":     &c.senderKey,
		"sent_key":       &c.sentKey,
		"key_weight":     &c.keyWeight,
		"key_distance":   &c.keyDistance,
		"echo":           &c.echo,
		"sent_canary":    &c.sentCanary,
		"canary":         &c.canary,
		"responder":      &c.responder,
		"icmp_type":      &c.icmpType,
		"icmp_code":      &c.icmpCode,
		"quote":          &c.quote,
	}
}

// NewReplies makes an empty batch.
func NewReplies() (*Replies, error) {
	schema, err := Schema(RepliesTable)
	if err != nil {
		return nil, err
	}
	r := &Replies{schema: schema}
	columns := r.byName()
	if len(columns) != schema.NumFields() || len(columns) > 64 {
		return nil, fmt.Errorf("schemas/tables.yaml: replies has %d columns, of which the program fills %d, and can fill 64",
			schema.NumFields(), len(columns))
	}
	for k, field := range schema.Fields() {
		column, ok := columns[field.Name]
		if !ok {
			return nil, fmt.Errorf("schemas/tables.yaml: no program fills replies.%s", field.Name)
		}
		column.place(k)
		r.columns = append(r.columns, column)
	}
	r.valid, r.truth = make([]bitmap, len(r.columns)), make([]bitmap, len(r.columns))
	return r, nil
}

// Rows is the number of rows in the batch.
func (r *Replies) Rows() int { return len(r.present) }

// Append adds a reply of a scan, the same for all rows. A row that does not name its port has the scan's.
func (r *Replies) Append(scan *ScanKey, row *zmap.Row) {
	c := &r.replyColumns
	if r.Rows() == 0 {
		r.scan = *scan
		c.scanID.append(scan.ID, true) // pad repeats it
	}
	sport := row.Sport.V
	if !row.Sport.Valid {
		sport = scan.Port
	}
	present := c.scanID.bit(true) |
		c.time.append(arrow.Timestamp(row.Time.UnixMicro()), !row.Time.IsZero()) |
		c.saddr.appendAddress(row.Saddr) |
		c.sport.append(sport, true) |
		c.daddr.append(c.daddrText.of(row.Daddr), row.Daddr.IsValid()) |
		c.dport.appendNull(row.Dport) |
		c.ttl.appendNull(row.TTL) |
		c.ipid.appendNull(row.IPID) |
		c.seqnum.appendNull(row.Seqnum) |
		c.acknum.appendNull(row.Acknum) |
		c.window.appendNull(row.Window) |
		c.tcpFlags.appendNull(row.TCPFlags) |
		c.classification.append(row.Classification, true)

	o, hasOptions := &row.Options, row.TCPOptions != nil
	present |= c.tcpOptions.append(row.TCPOptions, hasOptions) |
		c.mss.appendNull(o.MSS) |
		c.windowScale.appendNull(o.WindowScale) |
		c.tsValue.appendNull(o.TSValue) |
		c.tsEcho.appendNull(o.TSEcho) |
		c.optionOrder.append(o.Order, hasOptions)

	m := &row.MPCapable
	present |= c.mptcp.append(string(m.Presence), m.Presence != "") |
		c.sentKey.appendNull(row.SentKey)
	// Few rows have any of these.
	if m.Version.Valid || m.Flags.Valid || m.Length.Valid || m.Key.Valid {
		present |= c.appendMPCapable(r.Rows(), m, row.SentKey)
	}
	if row.SentCanary.Valid || row.Canary != "" {
		present |= c.appendCanary(r.Rows(), row)
	}
	if row.Responder.IsValid() || row.ICMPType.Valid || row.ICMPCode.Valid || row.Quote != nil {
		present |= c.appendICMP(r.Rows(), row)
	}

	var truth uint64
	for _, t := range [...]struct {
		column *truths
		value  sql.Null[bool]
	}{
		{&c.success, sql.Null[bool]{V: row.Success, Valid: true}},
		{&c.repeat, row.Repeat},
		{&c.cooldown, row.Cooldown},
		{&c.sackPermitted, sql.Null[bool]{V: o.SACKPermitted, Valid: hasOptions}},
		{&c.echo, echo(scan.Probe, m, row.SentKey)},
	} {
		truth |= t.column.bit(t.value.V)
		present |= t.column.bit(t.value.Valid)
	}
	r.present, r.truths = append(r.present, present), append(r.truths, truth)
}

// appendMPCapable fills the columns of an MP_CAPABLE in a row of the given index; others have NULL there.
func (c *replyColumns) appendMPCapable(row int, m *mptcp.MPCapable, sentKey sql.Null[uint64]) uint64 {
	key := m.Key
	pad(row, &c.mptcpVersion, &c.mptcpFlags, &c.mptcpLength, &c.senderKey, &c.keyWeight, &c.keyDistance)
	return c.mptcpVersion.appendNull(m.Version) |
		c.mptcpFlags.appendNull(m.Flags) |
		c.mptcpLength.appendNull(m.Length) |
		c.senderKey.appendNull(key) |
		c.keyWeight.append(uint8(bits.OnesCount64(key.V)), key.Valid) |
		c.keyDistance.append(uint8(bits.OnesCount64(key.V^sentKey.V)), key.Valid && sentKey.Valid)
}

// appendCanary does the same for the canary.
func (c *replyColumns) appendCanary(row int, r *zmap.Row) uint64 {
	pad(row, &c.sentCanary, &c.canary)
	return c.sentCanary.appendNull(r.SentCanary) |
		c.canary.append(string(r.Canary), r.Canary != "")
}

// appendICMP does the same for an ICMP message.
func (c *replyColumns) appendICMP(row int, r *zmap.Row) uint64 {
	pad(row, &c.responder, &c.icmpType, &c.icmpCode, &c.quote)
	return c.responder.appendAddress(r.Responder) |
		c.icmpType.appendNull(r.ICMPType) |
		c.icmpCode.appendNull(r.ICMPCode) |
		c.quote.append(r.Quote, r.Quote != nil)
}

func pad(rows int, columns ...columnBuilder) {
	for _, c := range columns {
		c.pad(rows)
	}
}

// Batch is what was appended, for parquetfile and plainBatch: text that repeats few values is a
// dictionary of it. It is valid until Reset.
func (r *Replies) Batch() arrow.RecordBatch {
	r.present.columns(r.valid)
	r.truths.columns(r.truth)
	arrays := make([]arrow.Array, len(r.columns))
	fields := r.schema.Fields()
	for k, column := range r.columns {
		if t, ok := column.(*truths); ok {
			t.values = r.truth[k]
		}
		column.pad(r.Rows())
		arrays[k] = column.array(fields[k].Type, r.Rows(), r.valid[k])
		fields[k].Type = arrays[k].DataType()
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(r.Rows()))
	for _, a := range arrays {
		a.Release()
	}
	return batch
}

// Reset empties the batch.
func (r *Replies) Reset() {
	r.present, r.truths = r.present[:0], r.truths[:0]
	for _, column := range r.columns {
		column.reset()
	}
}

// echo says whether a reply's MP_CAPABLE is the one of our SYN: NULL if there is none, or if it is
// not known what we sent.
func echo(probe string, m *mptcp.MPCapable, sentKey sql.Null[uint64]) sql.Null[bool] {
	if m.Presence != mptcp.Capable {
		return sql.Null[bool]{}
	}
	switch probe {
	case zmap.ProbeV0:
		return sql.Null[bool]{V: m.Key.Valid && m.Key.V == sentKey.V, Valid: sentKey.Valid}
	case zmap.ProbeV1:
		// RFC 8684 §3.1: the SYN has 4 bytes; the SYN-ACK of a host that speaks MPTCP has 12.
		return sql.Null[bool]{V: m.Version.V == 1 && !m.Key.Valid, Valid: true}
	default:
		return sql.Null[bool]{V: false, Valid: true}
	}
}

// daddrText writes our own address, mostly the same, as text.
type daddrText struct {
	address netip.Addr
	text    string
}

func (d *daddrText) of(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	if a != d.address {
		d.address, d.text = a, a.String()
	}
	return d.text
}
