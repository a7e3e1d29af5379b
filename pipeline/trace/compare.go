package trace

import (
	"bytes"
	"strconv"
)

// State is what a quote says of a field of our SYN.
type State uint8

// States. A field that a quote does not have as a whole is NotQuoted, and proves nothing.
const (
	Absent State = iota // our SYN had none
	Kept
	Changed
	Removed
	NotQuoted
)

// String is the state as in `hops`.
func (s State) String() string {
	return [...]string{"", "kept", "changed", "removed", "not-quoted"}[s]
}

// Comparison is what became of our SYN, as far as a quote shows it.
type Comparison struct {
	States [numFields]State
	// Complete says that the quote has all TCP options.
	Complete bool

	added      [maxOptions]uint8 // kinds of options that we did not send
	addedCount int
}

// Added is the value of the column opt_added.
func (c *Comparison) Added() string {
	if c.addedCount == 0 && c.Complete {
		return "none"
	}
	if c.addedCount == 0 {
		return NotQuoted.String()
	}
	return kindsText(c.added[:c.addedCount])
}

func kindsText(kinds []uint8) string {
	var text []byte
	for i, kind := range kinds {
		if i > 0 {
			text = append(text, '-')
		}
		text = strconv.AppendUint(text, uint64(kind), 10)
	}
	return string(text)
}

// difference is a field that a quote shows with another value, or without one.
type difference struct {
	field    Field
	from, to []byte // to is nil if it is gone
}

// Compare compares a SYN as sent with what an ICMP message quotes of it. It accepts any bytes as a quote.
func Compare(sent, quote []byte) (c Comparison) {
	compare(sent, quote, &c, nil)
	return c
}

// leastPadded is what a router fills a quote to at least (RFC 4884 §4), more than a SYN has.
const leastPadded = 128

// compare also reports each difference, if report is not nil, with slices that are valid until it returns.
func compare(sent, quote []byte, c *Comparison, report func(difference)) {
	*c = Comparison{}
	from, to := parse(sent), parse(quote)
	if len(quote) >= leastPadded {
		// Behind it are extensions, of which not every router says so (RFC 4884 §5.5).
		to.padding = len(bytes.TrimRight(quote[:leastPadded], "\x00"))
	}
	// A translator's other family cannot be compared.
	if len(quote) == 0 || from.ipv6 != to.ipv6 {
		to = packet{ipv6: from.ipv6}
	}
	for f := range firstOption {
		c.States[f] = compareHeader(&from, &to, f, report)
	}
	compareOptions(&from, &to, c, report)
}

func compareHeader(from, to *packet, f Field, report func(difference)) State {
	sent, ok := from.place(f)
	if !ok {
		return NotQuoted // of a packet that is no SYN; rows have none
	}
	quoted, ok := to.place(f)
	if !ok {
		return NotQuoted
	}
	var values [32]byte
	a := from.read(sent, values[:0:16])
	b := to.read(quoted, values[16:16])
	switch {
	case bytes.Equal(a, b):
		return Kept
	case f == IPID && !from.ipv6 && a[0] == b[1] && a[1] == b[0]:
		return Kept // quoted in the router's own byte order
	case quoted.at+quoted.length > to.padding:
		return NotQuoted
	}
	if report != nil {
		report(difference{f, a, b})
	}
	return Changed
}

func compareOptions(from, to *packet, c *Comparison, report func(difference)) {
	sent, quoted := from.options(), to.options()
	c.Complete = quoted.known
	var matched [maxOptions]bool
	for _, s := range sent.options[:sent.count] {
		identity := from.identity(s)
		state, q := NotQuoted, option{}
		if at := find(to, &quoted, &matched, identity); at >= 0 {
			matched[at] = true
			q = quoted.options[at]
			state = Kept
			if !bytes.Equal(from.data[s.at:s.end], to.data[q.at:q.end]) {
				state = Changed
				if q.end > to.padding {
					state = NotQuoted
				}
			}
		} else if quoted.broken.end > 0 && quoted.known && uint32(to.data[quoted.broken.at]) == identity {
			state, q = Changed, quoted.broken
		} else if quoted.known {
			state = Removed
		}
		f, ok := fieldOf(identity)
		if !ok {
			continue
		}
		c.States[f] = state
		if report != nil && (state == Changed || state == Removed) {
			d := difference{field: f, from: from.data[s.at:s.end]}
			if state == Changed {
				d.to = to.data[q.at:q.end]
			}
			report(d)
		}
	}
	for i, q := range quoted.options[:quoted.count] {
		if !matched[i] && q.end <= to.padding {
			c.added[c.addedCount] = to.data[q.at]
			c.addedCount++
		}
	}
}

// find is the first option of a list with an identity that has not been matched, -1 if there is none.
func find(p *packet, l *optionList, matched *[maxOptions]bool, identity uint32) int {
	for i, o := range l.options[:l.count] {
		if !matched[i] && p.identity(o) == identity {
			return i
		}
	}
	return -1
}
