package dataset

import (
	"database/sql"
	"math/bits"
	"net/netip"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// repliesFile writes the `replies` of one scan.
type repliesFile struct {
	table   *tableFile
	columns replyColumns

	partition Partition // these two before the first reply
	scanID    string
}

// replyColumns are the builders of `replies`, in the order of schemas/tables.yaml.
type replyColumns struct {
	scanID         *array.StringBuilder
	time           *array.TimestampBuilder
	saddr          *array.StringBuilder
	sport          *array.Uint16Builder
	daddr          *array.StringBuilder
	dport          *array.Uint16Builder
	ttl            *array.Uint8Builder
	ipid           *array.Uint16Builder
	seqnum         *array.Uint32Builder
	acknum         *array.Uint32Builder
	window         *array.Uint16Builder
	tcpFlags       *array.Uint8Builder
	classification *array.StringBuilder
	success        *array.BooleanBuilder
	repeat         *array.BooleanBuilder
	cooldown       *array.BooleanBuilder
	tcpOptions     *array.BinaryBuilder
	mss            *array.Uint16Builder
	windowScale    *array.Uint8Builder
	sackPermitted  *array.BooleanBuilder
	tsValue        *array.Uint32Builder
	tsEcho         *array.Uint32Builder
	optionOrder    *array.StringBuilder
	mptcp          *array.StringBuilder
	mptcpVersion   *array.Uint8Builder
	mptcpFlags     *array.Uint8Builder
	mptcpLength    *array.Uint8Builder
	senderKey      *array.Uint64Builder
	sentKey        *array.Uint64Builder
	keyWeight      *array.Uint8Builder
	keyDistance    *array.Uint8Builder
	echo           *array.BooleanBuilder
	sentCanary     *array.Uint32Builder
	canary         *array.StringBuilder
	responder      *array.StringBuilder
	icmpType       *array.Uint8Builder
	icmpCode       *array.Uint8Builder
	quote          *array.BinaryBuilder
}

func bindReplies(batch *array.RecordBuilder) (replyColumns, error) {
	c := &columnBuilders{batch: batch, bound: map[string]bool{}}
	columns := replyColumns{
		scanID:         builder[*array.StringBuilder](c, "scan_id"),
		time:           builder[*array.TimestampBuilder](c, "time"),
		saddr:          builder[*array.StringBuilder](c, "saddr"),
		sport:          builder[*array.Uint16Builder](c, "sport"),
		daddr:          builder[*array.StringBuilder](c, "daddr"),
		dport:          builder[*array.Uint16Builder](c, "dport"),
		ttl:            builder[*array.Uint8Builder](c, "ttl"),
		ipid:           builder[*array.Uint16Builder](c, "ipid"),
		seqnum:         builder[*array.Uint32Builder](c, "seqnum"),
		acknum:         builder[*array.Uint32Builder](c, "acknum"),
		window:         builder[*array.Uint16Builder](c, "window"),
		tcpFlags:       builder[*array.Uint8Builder](c, "tcp_flags"),
		classification: builder[*array.StringBuilder](c, "classification"),
		success:        builder[*array.BooleanBuilder](c, "success"),
		repeat:         builder[*array.BooleanBuilder](c, "repeat"),
		cooldown:       builder[*array.BooleanBuilder](c, "cooldown"),
		tcpOptions:     builder[*array.BinaryBuilder](c, "tcp_options"),
		mss:            builder[*array.Uint16Builder](c, "mss"),
		windowScale:    builder[*array.Uint8Builder](c, "window_scale"),
		sackPermitted:  builder[*array.BooleanBuilder](c, "sack_permitted"),
		tsValue:        builder[*array.Uint32Builder](c, "ts_value"),
		tsEcho:         builder[*array.Uint32Builder](c, "ts_echo"),
		optionOrder:    builder[*array.StringBuilder](c, "option_order"),
		mptcp:          builder[*array.StringBuilder](c, "mptcp"),
		mptcpVersion:   builder[*array.Uint8Builder](c, "mptcp_version"),
		mptcpFlags:     builder[*array.Uint8Builder](c, "mptcp_flags"),
		mptcpLength:    builder[*array.Uint8Builder](c, "mptcp_length"),
		senderKey:      builder[*array.Uint64Builder](c, "sender_key"),
		sentKey:        builder[*array.Uint64Builder](c, "sent_key"),
		keyWeight:      builder[*array.Uint8Builder](c, "key_weight"),
		keyDistance:    builder[*array.Uint8Builder](c, "key_distance"),
		echo:           builder[*array.BooleanBuilder](c, "echo"),
		sentCanary:     builder[*array.Uint32Builder](c, "sent_canary"),
		canary:         builder[*array.StringBuilder](c, "canary"),
		responder:      builder[*array.StringBuilder](c, "responder"),
		icmpType:       builder[*array.Uint8Builder](c, "icmp_type"),
		icmpCode:       builder[*array.Uint8Builder](c, "icmp_code"),
		quote:          builder[*array.BinaryBuilder](c, "quote"),
	}
	return columns, c.done()
}

// maxRow bounds the bytes that one row has in values of variable length: a line of hex, and text of
// bounded length.
const maxRow = zmap.MaxLine/2 + 1<<10

func createReplies(dir string, format Format) (*repliesFile, error) {
	table, err := createTable(dir, RepliesTable, format)
	if err != nil {
		return nil, err
	}
	columns, err := bindReplies(table.batch)
	if err != nil {
		return nil, joinDiscard(err, table.file)
	}
	return &repliesFile{table: table, columns: columns}, nil
}

// reserve makes sure that another reply can be written.
func (f *repliesFile) reserve() error { return f.table.reserve(maxRow) }

// append adds a reply. A row that does not name its port has the scan's.
func (f *repliesFile) append(row *zmap.Row) error {
	c := &f.columns
	size := len(f.scanID) + len(row.Classification) + len(row.TCPOptions) + len(row.Quote)

	c.scanID.Append(f.scanID)
	if row.Time.IsZero() {
		c.time.AppendNull()
	} else {
		c.time.Append(arrow.Timestamp(row.Time.UnixMicro()))
	}
	size += appendAddress(c.saddr, row.Saddr)
	if row.Sport.Valid {
		c.sport.Append(row.Sport.V)
	} else {
		c.sport.Append(f.partition.Port)
	}
	size += appendAddress(c.daddr, row.Daddr)
	appendNull(c.dport, row.Dport)
	appendNull(c.ttl, row.TTL)
	appendNull(c.ipid, row.IPID)
	appendNull(c.seqnum, row.Seqnum)
	appendNull(c.acknum, row.Acknum)
	appendNull(c.window, row.Window)
	appendNull(c.tcpFlags, row.TCPFlags)
	c.classification.Append(row.Classification)
	c.success.Append(row.Success)
	appendNull(c.repeat, row.Repeat)
	appendNull(c.cooldown, row.Cooldown)

	appendBytes(c.tcpOptions, row.TCPOptions)
	appendNull(c.mss, row.Options.MSS)
	appendNull(c.windowScale, row.Options.WindowScale)
	appendNull(c.tsValue, row.Options.TSValue)
	appendNull(c.tsEcho, row.Options.TSEcho)
	if row.TCPOptions == nil {
		c.sackPermitted.AppendNull()
		c.optionOrder.AppendNull()
	} else {
		c.sackPermitted.Append(row.Options.SACKPermitted)
		c.optionOrder.Append(row.Options.Order)
		size += len(row.Options.Order)
	}

	m := &row.MPCapable
	size += appendText(c.mptcp, string(m.Presence))
	appendNull(c.mptcpVersion, m.Version)
	appendNull(c.mptcpFlags, m.Flags)
	appendNull(c.mptcpLength, m.Length)
	appendNull(c.senderKey, m.Key)
	appendNull(c.sentKey, row.SentKey)
	weight := sql.Null[uint8]{V: uint8(bits.OnesCount64(m.Key.V)), Valid: m.Key.Valid}
	appendNull(c.keyWeight, weight)
	distance := sql.Null[uint8]{
		V:     uint8(bits.OnesCount64(m.Key.V ^ row.SentKey.V)),
		Valid: m.Key.Valid && row.SentKey.Valid,
	}
	appendNull(c.keyDistance, distance)
	appendNull(c.echo, echo(f.partition.Probe, m, row.SentKey))

	appendNull(c.sentCanary, row.SentCanary)
	size += appendText(c.canary, string(row.Canary))

	size += appendAddress(c.responder, row.Responder)
	appendNull(c.icmpType, row.ICMPType)
	appendNull(c.icmpCode, row.ICMPCode)
	appendBytes(c.quote, row.Quote)
	return f.table.added(size)
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

func appendNull[T any](b interface {
	Append(T)
	AppendNull()
}, v sql.Null[T]) {
	if v.Valid {
		b.Append(v.V)
	} else {
		b.AppendNull()
	}
}

// appendText returns the length of the text; an empty one is NULL.
func appendText(b *array.StringBuilder, text string) int {
	if text == "" {
		b.AppendNull()
	} else {
		b.Append(text)
	}
	return len(text)
}

func appendBytes(b *array.BinaryBuilder, v []byte) {
	if v == nil {
		b.AppendNull()
	} else {
		b.Append(v)
	}
}

// appendAddress returns the length of the address as text.
func appendAddress(b *array.StringBuilder, a netip.Addr) int {
	if !a.IsValid() {
		b.AppendNull()
		return 0
	}
	text := a.String()
	b.Append(text)
	return len(text)
}
