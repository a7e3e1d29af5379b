package zmap

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"net/netip"
)

// The functions below each read a JSON value that text begins with into a field. They return its length, or
// 0 and leave the field alone if text begins with no such value. What comes behind the value is not looked
// at: whoever calls them checks it.

func takeInteger[T uint8 | uint16 | int64](text []byte, field *sql.Null[T], high int64) int {
	n, length := integer(text)
	if length == 0 || n < 0 || n > high {
		return 0
	}
	*field = sql.Null[T]{V: T(n), Valid: true}
	return length
}

// takeSequence reads a 32-bit TCP sequence number. Our modules print it as text. ZMap's integers are
// signed: 2.1.1's tcp_synscan prints the upper half of the range as negative numbers.
func takeSequence(text []byte, field *sql.Null[uint32]) int {
	if len(text) == 0 || text[0] != '"' {
		n, length := integer(text)
		if length == 0 || n < -1<<31 || n > 1<<32-1 {
			return 0
		}
		*field = sql.Null[uint32]{V: uint32(n), Valid: true}
		return length
	}
	n, length := digits(text[1:])
	end := 1 + length
	if length == 0 || length > len("4294967295") || n > 1<<32-1 || end == len(text) || text[end] != '"' {
		return 0
	}
	*field = sql.Null[uint32]{V: uint32(n), Valid: true}
	return end + 1
}

// takeBoolean reads a truth value, which ZMap 2.1.1 prints as 0 or 1.
func takeBoolean(text []byte, field *sql.Null[bool]) int {
	switch {
	case bytes.HasPrefix(text, []byte("true")):
		*field = sql.Null[bool]{V: true, Valid: true}
		return len("true")
	case bytes.HasPrefix(text, []byte("false")):
		*field = sql.Null[bool]{V: false, Valid: true}
		return len("false")
	}
	n, length := integer(text)
	if length == 0 || n < 0 || n > 1 {
		return 0
	}
	*field = sql.Null[bool]{V: n == 1, Valid: true}
	return length
}

// takeWord reads a string that is one of words.
func takeWord[T ~string](text []byte, field *T, words []T) int {
	for _, word := range words {
		end := 1 + len(word)
		if len(text) > end && text[0] == '"' && text[end] == '"' && string(text[1:end]) == string(word) {
			*field = word
			return end + 1
		}
	}
	return 0
}

// takeHex reads pairs of lower-case hex digits into buffer, of which the field becomes a part.
func takeHex(text []byte, field *[]byte, buffer []byte) int {
	n, length := quotedHex(text, buffer)
	if length > 0 {
		*field = buffer[:n]
	}
	return length
}

func takeKey(text []byte, field *sql.Null[uint64]) int {
	var b [8]byte
	n, length := quotedHex(text, b[:])
	if n != len(b) {
		return 0
	}
	*field = sql.Null[uint64]{V: binary.BigEndian.Uint64(b[:]), Valid: true}
	return length
}

func takeNonce(text []byte, field *sql.Null[uint32]) int {
	var b [4]byte
	n, length := quotedHex(text, b[:])
	if n != len(b) {
		return 0
	}
	*field = sql.Null[uint32]{V: binary.BigEndian.Uint32(b[:]), Valid: true}
	return length
}

// quotedHex reads a string of hex digits into bytes, and returns the number of bytes and the length of its
// text.
func quotedHex(text, bytes []byte) (n, length int) {
	if len(text) == 0 || text[0] != '"' {
		return 0, 0
	}
	n = hexDigits(text[1:], bytes)
	end := 1 + 2*n
	if end >= len(text) || text[end] != '"' {
		return 0, 0
	}
	return n, end + 1
}

func takeAddress(text []byte, field *netip.Addr) int {
	if len(text) == 0 || text[0] != '"' {
		return 0
	}
	if ip, length := ipv4(text[1:]); length > 0 && 1+length < len(text) && text[1+length] == '"' {
		*field = netip.AddrFrom4(ip)
		return length + 2
	}
	if ip, length := ipv6(text[1:]); length > 0 && 1+length < len(text) && text[1+length] == '"' {
		*field = netip.AddrFrom16(ip)
		return length + 2
	}
	// An IPv6 address that ends in the form of IPv4, which allocates memory.
	length := bytes.IndexByte(text[1:], '"')
	if length < 0 {
		return 0
	}
	a, err := netip.ParseAddr(string(text[1 : 1+length]))
	if err != nil || a.Zone() != "" {
		return 0
	}
	*field = a
	return length + 2
}

// lastAddress remembers the address of the row before, as it was printed.
type lastAddress struct {
	text    []byte // with quotation marks
	address netip.Addr
}

// take is takeAddress.
func (l *lastAddress) take(text []byte, field *netip.Addr) int {
	if n := len(l.text); n > 0 && len(text) >= n && string(text[:n]) == string(l.text) {
		*field = l.address
		return n
	}
	length := takeAddress(text, field)
	if length > 0 {
		l.text, l.address = append(l.text[:0], text[:length]...), *field
	}
	return length
}

// ipv4 reads the address that text begins with, and returns the length of its text.
func ipv4(text []byte) (ip [4]byte, length int) {
	for i := range ip {
		if i > 0 {
			if length == len(text) || text[length] != '.' {
				return ip, 0
			}
			length++
		}
		octet, start := uint(0), length
		for length < len(text) && length < start+3 && text[length]-'0' <= 9 {
			octet = octet*10 + uint(text[length]-'0')
			length++
		}
		if length == start || octet > 255 || length > start+1 && text[start] == '0' {
			return ip, 0
		}
		ip[i] = byte(octet)
	}
	return ip, length
}

// ipv6 reads the address that text begins with, in groups of lower-case hex digits (RFC 4291 §2.2, forms 1
// and 2), and returns the length of its text.
func ipv6(text []byte) (ip [16]byte, length int) {
	const ellipsis = "::"
	n, gap := 0, -1 // bytes that were read, and those before the ellipsis
	if bytes.HasPrefix(text, []byte(ellipsis)) {
		gap, length = 0, len(ellipsis)
	}
	for n < len(ip) {
		group, width := hexGroup(text[length:])
		if width == 0 {
			if gap != n {
				return ip, 0
			}
			break
		}
		binary.BigEndian.PutUint16(ip[n:], group)
		n += 2
		length += width
		if rest := text[length:]; gap < 0 && bytes.HasPrefix(rest, []byte(ellipsis)) {
			gap = n
			length += len(ellipsis)
		} else if n < len(ip) && len(rest) > 0 && rest[0] == ':' {
			length++
		} else {
			break
		}
	}
	if (gap < 0) != (n == len(ip)) {
		return ip, 0
	}
	if gap >= 0 {
		behind := len(ip) - (n - gap)
		copy(ip[behind:], ip[gap:n])
		clear(ip[gap:behind])
	}
	return ip, length
}

// hexGroup reads up to four lower-case hex digits, and returns their number.
func hexGroup(text []byte) (value uint16, width int) {
	for width < min(4, len(text)) && hexDigit[text[width]] <= 15 {
		value = value<<4 | uint16(hexDigit[text[width]])
		width++
	}
	return value, width
}

// integer reads a JSON number that has neither fraction nor exponent (RFC 8259 §6), of up to 15 digits, and
// returns the length of its text.
func integer(text []byte) (n int64, length int) {
	n, length = digits(text)
	switch {
	case length == 0:
		return negative(text)
	case length > 1 && text[0] == '0':
		return 0, 0
	}
	return n, length
}

func negative(text []byte) (n int64, length int) {
	if len(text) < 2 || text[0] != '-' || text[1] == '-' {
		return 0, 0
	}
	n, length = integer(text[1:])
	if length == 0 {
		return 0, 0
	}
	return -n, 1 + length
}

// isInteger says whether a valid JSON value is a number without fraction and exponent.
func isInteger(value []byte) bool {
	return (value[0] == '-' || value[0]-'0' <= 9) && !bytes.ContainsAny(value, ".eE")
}

// skipPlain returns the length of the value that text begins with if it is an integer, a truth value or a
// string of printable ASCII without escapes; else 0.
func skipPlain(text []byte) int {
	if len(text) > 0 && text[0] == '"' {
		end := 1 + plainText(text[1:])
		if end == len(text) || text[end] != '"' {
			return 0
		}
		return end + 1
	}
	if length := skipDigits(text); length == 1 || length > 1 && text[0] != '0' {
		return length
	}
	if _, length := integer(text); length > 0 {
		return length
	}
	return takeBoolean(text, new(sql.Null[bool]))
}
