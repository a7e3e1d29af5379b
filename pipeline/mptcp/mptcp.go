// Package mptcp reads TCP options, and Multipath TCP's among them, as a SYN or SYN-ACK carries them.
//
// It knows both versions of the protocol: v0 (RFC 6824) and v1 (RFC 8684). Anything may follow
// the header of a packet from the Internet, so a malformed option is a fact that is reported,
// never an error.
package mptcp

import (
	"database/sql"
	"encoding/binary"
)

// Option kinds.
const (
	kindEOL           = 0  // RFC 9293 §3.1
	kindNOP           = 1  // RFC 9293 §3.1
	kindMSS           = 2  // RFC 9293 §3.7.1
	kindWindowScale   = 3  // RFC 7323 §2
	kindSACKPermitted = 4  // RFC 2018 §2
	kindTimestamps    = 8  // RFC 7323 §3
	kindMPTCP         = 30 // RFC 8684 §3
)

// Option lengths, kind and length byte included.
const (
	lengthMSS           = 4  // RFC 9293 §3.7.1
	lengthWindowScale   = 3  // RFC 7323 §2
	lengthSACKPermitted = 2  // RFC 2018 §2
	lengthTimestamps    = 10 // RFC 7323 §3

	lengthSubtype      = 3  // the shortest MPTCP option that has a subtype: RFC 8684 §3, figure 3
	lengthMPCapable    = 4  // MP_CAPABLE of v1 without a key: RFC 8684 §3.1, figure 4
	lengthMPCapableKey = 12 // MP_CAPABLE with the sender's key: RFC 8684 §3.1, RFC 6824 §3.1
)

const subtypeMPCapable = 0 // RFC 8684 §3.1

// Presence says what the MPTCP options of a segment amount to.
type Presence string

const (
	None      Presence = "none"      // no MPTCP option
	Capable   Presence = "capable"   // an MP_CAPABLE with a length that is legal in a SYN or SYN-ACK
	Malformed Presence = "malformed" // an MPTCP option that is cut short or has an illegal length
	Other     Presence = "other"     // MPTCP options, but no MP_CAPABLE
)

// MPCapable is what a segment says about Multipath TCP.
//
// If there are several MPTCP options, the first legal MP_CAPABLE wins, then the first malformed option,
// then another subtype. Version, Flags and Length are those of the MP_CAPABLE; of a malformed one
// as far as the bytes are there.
type MPCapable struct {
	Presence Presence
	Version  sql.Null[uint8]
	Flags    sql.Null[uint8]
	Length   sql.Null[uint8]  // the option's length byte
	Key      sql.Null[uint64] // the sender's key, first byte on the wire most significant; only of a legal option
}

// Options is what the options of one segment say. Where an option is repeated, the first counts;
// where its length is not the one its RFC gives it, it is left out (its kind still shows in Order).
type Options struct {
	MSS           sql.Null[uint16]
	WindowScale   sql.Null[uint8]
	SACKPermitted bool
	TSValue       sql.Null[uint32]
	TSEcho        sql.Null[uint32]

	// Order lists the kinds in order of appearance, padding included: "2-4-8-1-3-30". A last
	// element "!" says that the list could not be walked further.
	Order string

	MPCapable MPCapable
}

// Parse reads the options of a segment: all bytes between the fixed TCP header and the payload.
// It accepts any bytes, of any number.
func Parse(area []byte) (o Options) {
	new(Parser).Parse(area, &o)
	return o
}

// Parser reads the options of many segments. It allocates nothing for those whose option kinds it has
// seen before, as it keeps texts of Options.Order, a bounded number. The zero value is ready for use. It is not
// safe for concurrent use.
type Parser struct{ orders orders }

// Parse is the function Parse. It puts the options where they are needed, as they are costly to copy.
func (p *Parser) Parse(area []byte, o *Options) {
	*o = Options{MPCapable: MPCapable{Presence: None}}
	layout := make([]byte, 0, 64)
	for len(area) > 0 {
		option, whole := first(area)
		layout = append(layout, option[0])
		if !whole {
			if option[0] == kindMPTCP {
				o.MPCapable.addCut(option)
			}
			layout = append(layout, layoutCut...)
			break
		}
		if option[0] == kindEOL {
			break
		}
		o.add(option)
		area = area[len(option):]
	}
	o.Order = p.orders.text(layout)
}

// first is the option that a list begins with. When it is not whole, nothing tells where the next one
// begins: the length byte is missing, below 2 or beyond the list, and option is all that is left.
func first(area []byte) (option []byte, whole bool) {
	if area[0] == kindEOL || area[0] == kindNOP {
		return area[:1], true
	}
	if len(area) < 2 || area[1] < 2 || int(area[1]) > len(area) {
		return area, false
	}
	return area[:area[1]], true
}

// add takes one complete option, kind and length byte included.
func (o *Options) add(option []byte) {
	switch kind, length := option[0], len(option); {
	case kind == kindMSS && length == lengthMSS && !o.MSS.Valid:
		o.MSS = some(binary.BigEndian.Uint16(option[2:]))
	case kind == kindWindowScale && length == lengthWindowScale && !o.WindowScale.Valid:
		o.WindowScale = some(option[2])
	case kind == kindSACKPermitted && length == lengthSACKPermitted:
		o.SACKPermitted = true
	case kind == kindTimestamps && length == lengthTimestamps && !o.TSValue.Valid:
		o.TSValue = some(binary.BigEndian.Uint32(option[2:]))
		o.TSEcho = some(binary.BigEndian.Uint32(option[6:]))
	case kind == kindMPTCP:
		o.MPCapable.add(option)
	}
}

// add takes one complete MPTCP option.
func (m *MPCapable) add(option []byte) {
	switch {
	case m.Presence == Capable:
	case len(option) < lengthSubtype:
		m.addCut(option)
	case option[2]>>4 != subtypeMPCapable:
		if m.Presence == None {
			m.Presence = Other
		}
	case legalMPCapable(option[2]&0x0f, len(option)):
		*m = MPCapable{
			Presence: Capable,
			Version:  some(option[2] & 0x0f),
			Flags:    some(option[3]),
			Length:   some(option[1]),
		}
		if len(option) == lengthMPCapableKey {
			m.Key = some(binary.BigEndian.Uint64(option[4:]))
		}
	default:
		m.addMalformed(option)
	}
}

// addCut takes an MPTCP option that its own length byte or the end of the options area cuts short.
func (m *MPCapable) addCut(rest []byte) {
	// A length byte below 3 leaves no room for a subtype, whatever bytes come after it.
	if len(rest) >= lengthSubtype && rest[1] >= lengthSubtype && rest[2]>>4 == subtypeMPCapable {
		m.addMalformed(rest)
	} else if m.Presence != Capable {
		m.Presence = Malformed
	}
}

// addMalformed notes a malformed MP_CAPABLE whose subtype byte is there. The first malformed option
// counts.
func (m *MPCapable) addMalformed(option []byte) {
	if m.Presence == Capable || m.Presence == Malformed {
		return
	}
	m.Presence = Malformed
	m.Length = some(option[1])
	m.Version = some(option[2] & 0x0f)
	if len(option) > 3 && option[1] > 3 {
		m.Flags = some(option[3])
	}
}

// legalMPCapable says whether a SYN or SYN-ACK may carry an MP_CAPABLE of this version and length.
// RFC 6824 §3.1: v0 has a key in both. RFC 8684 §3.1: later versions have none in the SYN and one
// in the SYN-ACK; 4 bytes in a SYN-ACK are a mirrored SYN.
func legalMPCapable(version uint8, length int) bool {
	return length == lengthMPCapableKey || length == lengthMPCapable && version >= 1
}

// Consistent says whether some segment's options can be read as m.
func (m MPCapable) Consistent() bool {
	switch m.Presence {
	case Capable:
		return m.Version.Valid && m.Flags.Valid && m.Length.Valid &&
			legalMPCapable(m.Version.V, int(m.Length.V)) &&
			m.Key.Valid == (m.Length.V == lengthMPCapableKey)
	case Malformed:
		return m.Version.Valid == m.Length.Valid && (m.Version.Valid || !m.Flags.Valid) && !m.Key.Valid
	case None, Other:
		return m == MPCapable{Presence: m.Presence}
	default:
		return false
	}
}

func some[T any](v T) sql.Null[T] { return sql.Null[T]{V: v, Valid: true} }
