package targets

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A hitlist or blocklist is text: one IPv4 or IPv6 address or CIDR a line. What follows a # is a
// comment; blank lines, white space at either end and CRLF do not matter. The text may be compressed
// by gzip or zstd, which its first bytes tell.
//
// The first line that says anything else is an error, with its number: a target that was meant and
// is not probed would be missed by nobody. So are
//   - an address with a zone (fe80::1%eth0), which is meaningful on one machine only,
//   - an IPv4-mapped IPv6 address (::ffff:192.0.2.1, RFC 4291 §2.5.5.2), which no packet carries:
//     the IPv4 address must be named. A prefix around all of them, ::ffff:0:0/96 or shorter, is one
//     like any other,
//   - a line longer than maxLine, and compressed text that ends too early.

// maxLine is the length of a line with its newline. Longer than any address and its comment.
const maxLine = 64 << 10

// maxWindow bounds the memory that zstd's decoder takes: what the zstd command decodes without
// being told to (--long=27).
const maxWindow = 128 << 20

// entryReader reads the entries of a list.
type entryReader struct {
	name   string
	number uint64 // of the line that was read last, from 1
	lines  *bufio.Reader
	close  func()
}

// newEntryReader begins to read a list; name stands in errors. Reading fails when ctx ends. close must
// be called at the end.
func newEntryReader(ctx context.Context, name string, text io.Reader) (*entryReader, error) {
	raw, stop := ahead(ctx, text)
	r := &entryReader{name: name, lines: bufio.NewReaderSize(raw, maxLine), close: stop}
	if err := r.decompress(ctx); err != nil {
		stop()
		return nil, err
	}
	return r, nil
}

// decompress puts the decoder that the first bytes ask for before lines.
func (r *entryReader) decompress(ctx context.Context) error {
	start, err := r.lines.Peek(len(magic))
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	stop := r.close
	switch {
	case string(start) == magic:
		return fmt.Errorf("%s is a target file: a hitlist is text", r.name)
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}): // RFC 1952 §2.3.1
		decoder, err := gzip.NewReader(r.lines)
		if err != nil {
			return fmt.Errorf("%s: damaged gzip file: %w", r.name, err)
		}
		// Beside the parsing, which takes as long.
		text, stopDecoder := ahead(ctx, decoder)
		r.lines = bufio.NewReaderSize(text, maxLine)
		r.close = func() { stop(); stopDecoder() }
	case isZstd(start):
		decoder, err := zstd.NewReader(r.lines, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return fmt.Errorf("%s: damaged zstd file: %w", r.name, err)
		}
		r.lines = bufio.NewReaderSize(decoder, maxLine)
		r.close = func() { stop(); decoder.Close() }
	}
	return nil
}

// ahead reads r in a goroutine of its own, by one buffer ahead. What it returns fails when ctx ends, also
// while r waits for input. stop ends the goroutine, as soon as r lets it.
func ahead(ctx context.Context, r io.Reader) (_ io.Reader, stop func()) {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	cancel := context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	return out, func() {
		cancel()
		out.Close()
	}
}

// isZstd knows a Zstandard frame (RFC 8878 §3.1.1) and a skippable one (§3.1.2), with which pzstd begins.
func isZstd(start []byte) bool {
	return bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(start) >= 4 && start[0]&0xf0 == 0x50 && bytes.Equal(start[1:4], []byte{0x2a, 0x4d, 0x18})
}

// next returns the next entry, an address as a prefix of its full length, or io.EOF. Host bits are as
// the list has them.
func (r *entryReader) next() (netip.Prefix, error) {
	for {
		line, err := r.lines.ReadSlice('\n')
		if len(line) == 0 && err == io.EOF {
			return netip.Prefix{}, io.EOF
		}
		r.number++
		switch {
		case err == bufio.ErrBufferFull:
			return netip.Prefix{}, r.errorf("a line of more than %d bytes, that begins with %s", maxLine, quote(line))
		case err != nil && err != io.EOF:
			return netip.Prefix{}, r.errorf("%w: the file is damaged or was cut off", err)
		}
		line, _, _ = bytes.Cut(line, []byte("#"))
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		p, err := parseEntry(string(line))
		if err != nil {
			return netip.Prefix{}, r.errorf("%s %w", quote(line), err)
		}
		return p, nil
	}
}

// errorf is an error about the line that was read last.
func (r *entryReader) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", r.name, r.number, fmt.Errorf(format, args...))
}

// quote shows enough of a line to recognise it.
func quote(line []byte) string {
	const enough = 60
	if len(line) > enough {
		return strconv.Quote(string(line[:enough])) + "…"
	}
	return strconv.Quote(string(line))
}

var (
	errNoEntry = errors.New("is neither an IPv4 or IPv6 address nor a CIDR")
	errZone    = errors.New("has a zone: leave it out")
)

func parseEntry(text string) (netip.Prefix, error) {
	if strings.IndexByte(text, '%') >= 0 {
		return netip.Prefix{}, errZone
	}
	var p netip.Prefix
	if strings.IndexByte(text, '/') >= 0 {
		var err error
		if p, err = netip.ParsePrefix(text); err != nil {
			return netip.Prefix{}, errNoEntry
		}
	} else {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, errNoEntry
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if p.Addr().Is4In6() && p.Bits() > 96 {
		return netip.Prefix{}, fmt.Errorf("is an IPv4-mapped address: write %s", unmapped(p))
	}
	return p, nil
}

func unmapped(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().Unmap().String()
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).String()
}
