package trace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"slices"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// What a target can make us keep of its answers is bounded, however many it sends.
const (
	maxRouters = 8  // that answer at one TTL
	maxChanges = 64 // that quotes show
)

// Bits of hopEvidence.seen: what came at a TTL.
const (
	sawRouter    = 1 << iota // Time Exceeded
	sawOptions               // with a quote that has all TCP options
	sawKept                  // a quote shows the option that is traced as sent,
	sawChanged               // changed
	sawRemoved               // or removed
	sawKeptAtEnd             // an unreachable message's quote shows it as sent, by a hop that is no further than this
	sawSYNACK
	sawRST
	sawUnreachable

	sawHost = sawSYNACK | sawRST
	sawBox  = sawChanged | sawRemoved
)

// hopEvidence is what came back of the probes with one TTL.
type hopEvidence struct {
	seen    uint16
	routers []netip.Addr // that sent Time Exceeded, ascending
}

// change is a difference that quotes of one or more hops show.
type change struct {
	field       Field // numFields: options that were added
	removed     bool
	from, to    []byte // to: of added options, their kinds
	first, last uint8
}

// evidence is what all answers to one kind of probe say of the path to one target.
type evidence struct {
	target  netip.Addr
	mptcp   mptcp.Presence // in the SYN-ACK with the least TTL
	hops    [zmap.MaxTTL + 1]hopEvidence
	changes []change
	// quotedUnreachable: only the first unreachable message says where it came from. Its sender sends one for each
	// greater TTL, too.
	quotedUnreachable bool
}

// clear begins the evidence of another target.
func (e *evidence) clear(target netip.Addr) {
	e.target, e.mptcp, e.changes, e.quotedUnreachable = target, "", e.changes[:0], false
	for i := range e.hops {
		e.hops[i].seen, e.hops[i].routers = 0, e.hops[i].routers[:0]
	}
}

// tracked is the option that a kind of probe is sent for.
func tracked(probe string) (Field, bool) {
	switch probe {
	case zmap.ProbePlain:
		return 0, false
	case zmap.ProbeCanary:
		return OptCanary, true
	default:
		return OptMPTCP, true
	}
}

// add takes an answer. They come by TTL.
func (e *evidence) add(h *hop, probe string) {
	at := &e.hops[h.ttl]
	switch h.answer {
	case timeExceeded:
		at.seen |= sawRouter
		at.addRouter(h.responder)
		if h.Complete {
			at.seen |= sawOptions
		}
	case unreachable:
		at.seen |= sawUnreachable
		if e.quotedUnreachable {
			return
		}
		e.quotedUnreachable = true
	case synack:
		if e.mptcp == "" {
			e.mptcp = h.mptcp
		}
		at.seen |= sawSYNACK
		return
	case rst:
		at.seen |= sawRST
		return
	default:
		return
	}
	if field, ok := tracked(probe); ok {
		switch h.States[field] {
		case Kept:
			if h.answer == unreachable {
				at.seen |= sawKeptAtEnd
			} else {
				at.seen |= sawKept
			}
		case Changed:
			at.seen |= sawChanged
		case Removed:
			at.seen |= sawRemoved
		}
	}
	if h.differs() {
		var again Comparison
		compare(h.sent, h.quote, &again, func(d difference) {
			e.addChange(change{d.field, d.to == nil, d.from, d.to, h.ttl, h.ttl})
		})
		if h.addedCount > 0 {
			e.addChange(change{numFields, false, nil, h.added[:h.addedCount], h.ttl, h.ttl})
		}
	}
}

// differs says whether a quote shows any change.
func (c *Comparison) differs() bool {
	for _, s := range c.States {
		if s == Changed || s == Removed {
			return true
		}
	}
	return c.addedCount > 0
}

func (h *hopEvidence) addRouter(a netip.Addr) {
	at, known := slices.BinarySearchFunc(h.routers, a, netip.Addr.Compare)
	if !known && len(h.routers) < maxRouters {
		h.routers = slices.Insert(h.routers, at, a)
	}
}

func (e *evidence) addChange(c change) {
	for i := range e.changes {
		if known := &e.changes[i]; known.same(&c) {
			known.last = max(known.last, c.last)
			return
		}
	}
	if len(e.changes) < maxChanges {
		c.from, c.to = slices.Clone(c.from), slices.Clone(c.to)
		e.changes = append(e.changes, c)
	}
}

// same says whether two hops show the same change. What we sent is another at each TTL in some fields (IPv6: in the
// window), so that their values say nothing.
func (c *change) same(o *change) bool {
	if c.field != o.field || c.removed != o.removed {
		return false
	}
	switch c.field {
	case TCPSeq, IPID:
		return true
	case TCPWindow:
		return !bytes.Equal(c.from, o.from) || bytes.Equal(c.to, o.to)
	}
	return bytes.Equal(c.from, o.from) && bytes.Equal(c.to, o.to)
}

// appendTo appends the evidence, for a file that readFrom reads: its length first.
func (e *evidence) appendTo(b []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = appendShort(b, e.target.AsSlice())
	b = append(b, byte(max(slices.Index(presences, e.mptcp), 0)))
	for ttl := range e.hops {
		h := &e.hops[ttl]
		if h.seen == 0 {
			continue
		}
		b = append(b, byte(ttl))
		b = binary.BigEndian.AppendUint16(b, h.seen)
		b = append(b, byte(len(h.routers)))
		for _, r := range h.routers {
			b = appendShort(b, r.AsSlice())
		}
	}
	b = append(b, 0) // no TTL
	for _, c := range e.changes {
		removed := byte(0)
		if c.removed {
			removed = 1
		}
		b = append(b, byte(c.field), removed, c.first, c.last)
		b = appendShort(b, c.from)
		b = appendShort(b, c.to)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

func appendShort(b, value []byte) []byte {
	b = append(b, byte(len(value)))
	return append(b, value...)
}

func takeShort(b []byte) (value, rest []byte) { return b[1 : 1+int(b[0])], b[1+int(b[0]):] }

// readFrom reads what appendTo made, into a buffer that is used again. The error is io.EOF at the end.
func (e *evidence) readFrom(in io.Reader, buffer *[]byte) error {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(length[:]))
	*buffer = slices.Grow((*buffer)[:0], n)[:n]
	if _, err := io.ReadFull(in, *buffer); err != nil {
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	target, b := takeShort(*buffer)
	a, _ := netip.AddrFromSlice(target)
	e.clear(a)
	e.mptcp, b = presences[b[0]], b[1:]
	for b[0] != 0 {
		h := &e.hops[b[0]]
		h.seen = binary.BigEndian.Uint16(b[1:])
		count := b[3]
		b = b[4:]
		for range count {
			var r []byte
			r, b = takeShort(b)
			router, _ := netip.AddrFromSlice(r)
			h.routers = append(h.routers, router)
		}
	}
	for b = b[1:]; len(b) > 0; {
		c := change{field: Field(b[0]), removed: b[1] != 0, first: b[2], last: b[3]}
		c.from, b = takeShort(b[4:])
		c.to, b = takeShort(b)
		e.changes = append(e.changes, c)
	}
	return nil
}
