package enrich

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// A text of which more than one line in maxRejectedShare is none of the format is another format. So is one
// that begins with maxRejected such lines.
const (
	maxRejectedShare = 100
	maxRejected      = 1000
	shownFaults      = 3
)

// readText reads a text of ranges (CSV) or prefixes (pfx2as), compressed by gzip or not.
func (s *Source) readText(r io.Reader) error {
	text := bufio.NewReader(r)
	if start, _ := text.Peek(2); string(start) == "\x1f\x8b" { // RFC 1952 §2.3.1
		unzipped, err := gzip.NewReader(text)
		if err != nil {
			return fmt.Errorf("cannot be decompressed: %w", err)
		}
		text = bufio.NewReader(io.LimitReader(unzipped, maxTextBytes))
	}
	c := newCollector()
	if err := s.readLines(text, c); err != nil {
		return err
	}
	s.Ranges = uint64(len(c.spans))
	if s.Ranges == 0 {
		return fmt.Errorf("has no ranges: it needs lines like %s", s.example())
	}
	s.Networks = c.networks()
	return nil
}

// example is a line as the source should have it.
func (s *Source) example() string {
	if s.Gives == ASN {
		return "192.0.2.0,192.0.2.255,64496,Example or 192.0.2.0<TAB>24<TAB>64496"
	}
	return "192.0.2.0,192.0.2.255,BE"
}

func (s *Source) readLines(text io.Reader, c *collector) error {
	lines := bufio.NewScanner(text)
	lines.Buffer(make([]byte, maxLineBytes), maxLineBytes)
	number, full := 0, uint64(0)
	for lines.Scan() {
		number++
		line := lines.Bytes()
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		full++
		if s.Format == "" {
			s.Format = formatOf(line)
		}
		first, last, network, err := s.parseLine(line)
		if err == nil {
			if err := c.add(first, last, network); err != nil {
				return err
			}
			continue
		}
		s.Rejected++
		if len(s.Faults) < shownFaults {
			s.Faults = append(s.Faults, fmt.Sprintf("line %d: %v", number, err))
		}
		if s.Rejected == maxRejected && full < maxRejected*maxRejectedShare {
			return s.wrongFormat(full)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d has more than %d bytes: it needs lines like %s", number+1, maxLineBytes, s.example())
	case err != nil:
		return fmt.Errorf("cannot be read: %w", err)
	case s.Rejected*maxRejectedShare > full:
		return s.wrongFormat(full)
	}
	return nil
}

func (s *Source) wrongFormat(full uint64) error {
	return fmt.Errorf("%d of %d lines are not like %s: %s", s.Rejected, full, s.example(), s.Faults[0])
}

// formatOf tells the format by a line: prefixes have tabs.
func formatOf(line []byte) string {
	if bytes.IndexByte(line, '\t') >= 0 {
		return formatPfx2as
	}
	return formatCSV
}

func (s *Source) parseLine(line []byte) (first, last netip.Addr, n Network, err error) {
	if !utf8.Valid(line) {
		return first, last, n, errors.New("is not UTF-8")
	}
	if s.Format == formatPfx2as {
		return s.parsePrefix(string(line))
	}
	return s.parseRange(string(line))
}

// parseRange reads a line of ip-location-db's: first,last,AS number,AS name or first,last,country. The
// addresses may be numbers, as in its files whose names end in -num.csv.
func (s *Source) parseRange(line string) (first, last netip.Addr, n Network, err error) {
	fields, err := splitCSV(line)
	if err != nil {
		return first, last, n, err
	}
	want := 4
	if s.Gives == Country {
		want = 3
	}
	if len(fields) != want {
		return first, last, n, fmt.Errorf("has %d fields, not %d", len(fields), want)
	}
	if first, last, err = parseEnds(fields[0], fields[1]); err != nil {
		return first, last, n, err
	}
	if s.Gives == Country {
		n.Country, err = parseCountry(fields[2])
		return first, last, n, err
	}
	if n.ASN, err = parseASN(fields[2]); err != nil {
		return first, last, n, err
	}
	n.ASName, err = parseName(fields[3])
	if n.ASN == 0 {
		n.ASName = "" // such as "Not routed": the name of nobody
	}
	return first, last, n, err
}

// splitCSV splits a line as RFC 4180 §2 has it. A field does not go on in the next line.
func splitCSV(line string) ([]string, error) {
	line = strings.TrimSuffix(line, "\r")
	var fields []string
	for {
		if !strings.HasPrefix(line, `"`) {
			field, rest, more := strings.Cut(line, ",")
			fields = append(fields, field)
			if !more {
				return fields, nil
			}
			line = rest
			continue
		}
		field, rest, ok := cutQuoted(line[1:])
		if !ok {
			return nil, errors.New("has a quoted field that does not end")
		}
		fields = append(fields, field)
		if rest == "" {
			return fields, nil
		}
		if rest[0] != ',' {
			return nil, errors.New("has text behind a quoted field")
		}
		line = rest[1:]
	}
}

// cutQuoted is the field whose opening quote is before s, and what follows its closing quote.
func cutQuoted(s string) (field, rest string, ok bool) {
	var b strings.Builder
	for {
		part, behind, found := strings.Cut(s, `"`)
		if !found {
			return "", "", false
		}
		b.WriteString(part)
		if !strings.HasPrefix(behind, `"`) {
			return b.String(), behind, true
		}
		b.WriteByte('"')
		s = behind[1:]
	}
}

// parseEnds reads the first and the last address of a range.
func parseEnds(from, to string) (first, last netip.Addr, err error) {
	if decimal(from) && decimal(to) {
		return parseNumbers(from, to)
	}
	if first, err = parseAddress(from); err != nil {
		return first, last, err
	}
	if last, err = parseAddress(to); err != nil {
		return first, last, err
	}
	return ordered(first, last)
}

func ordered(first, last netip.Addr) (netip.Addr, netip.Addr, error) {
	if first.Is4() != last.Is4() || last.Less(first) {
		return first, last, fmt.Errorf("is no range: %v to %v", first, last)
	}
	return first, last, nil
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, fmt.Errorf("%s is no address", quote(s))
	}
	return a.Unmap(), nil
}

// parsePrefix reads a line of CAIDA's pfx2as: prefix, length, origin.
func (s *Source) parsePrefix(line string) (first, last netip.Addr, n Network, err error) {
	if s.Gives == Country {
		return first, last, n, errors.New("a prefix with its AS (pfx2as) has no country")
	}
	fields := strings.Split(strings.TrimSuffix(line, "\r"), "\t")
	if len(fields) != 3 {
		return first, last, n, fmt.Errorf("has %d fields, not 3", len(fields))
	}
	address, err := netip.ParseAddr(fields[0])
	bits, bitsErr := strconv.ParseUint(fields[1], 10, 8)
	if err != nil || bitsErr != nil || address.Zone() != "" || address.Is4In6() || int(bits) > address.BitLen() {
		return first, last, n, fmt.Errorf("%s/%s is no prefix", quote(fields[0]), quote(fields[1]))
	}
	first, last = endsOf(netip.PrefixFrom(address, int(bits)))
	n.ASN, err = parseOrigin(fields[2])
	return first, last, n, err
}

// endsOf are the first and the last address of a prefix.
func endsOf(p netip.Prefix) (first, last netip.Addr) {
	first = p.Masked().Addr()
	b := first.AsSlice()
	for bit := p.Bits(); bit < first.BitLen(); bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ = netip.AddrFromSlice(b)
	return first, last
}

// parseOrigin is the AS that announces a prefix. Several are separated by "_", the one that most of
// CAIDA's peers saw first: it stands for all (their README, "Multi-origin ASes"). An AS set ("4_1,2") does
// not say which of its members it is: the first that is alone counts, and else none is known.
func parseOrigin(s string) (uint32, error) {
	origin := uint32(0)
	for alternative := range strings.SplitSeq(s, "_") {
		members := strings.Split(alternative, ",")
		for _, member := range members {
			asn, err := parseASN(member)
			if err != nil {
				return 0, err
			}
			if origin == 0 && len(members) == 1 {
				origin = asn
			}
		}
	}
	return origin, nil
}

func parseASN(s string) (uint32, error) {
	asn, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s is no AS number", quote(s))
	}
	return uint32(asn), nil
}

func parseName(s string) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxNameBytes {
		return "", fmt.Errorf("the name of the AS has more than %d bytes", maxNameBytes)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("the name of the AS, %s, is no text", quote(s))
	}
	return s, nil
}

// parseCountry accepts what sources have beside countries: AP and EU (of no one country), and nothing or
// ZZ, which say that it is not known.
func parseCountry(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	code := strings.ToUpper(s)
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return "", fmt.Errorf("%s is no country's code of two letters", quote(s))
	}
	if code == "ZZ" {
		return "", nil
	}
	return code, nil
}

// quote shows hostile text in an error.
func quote(s string) string {
	const shown = 40
	if len(s) > shown {
		return strconv.QuoteToASCII(s[:shown]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
