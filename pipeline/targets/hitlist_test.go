package targets

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// entries reads a list to its end or first error.
func entries(text io.Reader) (found []string, lines uint64, err error) {
	r, err := newEntryReader(context.Background(), "list", text)
	if err != nil {
		return nil, 0, err
	}
	defer r.close()
	for {
		p, err := r.next()
		if err == io.EOF {
			return found, r.number, nil
		}
		if err != nil {
			return found, r.number, err
		}
		found = append(found, p.String())
	}
}

func TestHitlistGrammar(t *testing.T) {
	list := "# two families\r\n" +
		"192.0.2.1\r\n" +
		"\r\n" +
		" \t2001:DB8:0:0:0::0001 # a host\n" +
		"192.0.2.0/25#no blank\n" +
		"2001:db8::1/64\n" +
		"::ffff:0:0/96\n" +
		"::/0\n" +
		"255.255.255.255" // no newline
	want := []string{"192.0.2.1/32", "2001:db8::1/128", "192.0.2.0/25", "2001:db8::1/64", "::ffff:0.0.0.0/96", "::/0", "255.255.255.255/32"}
	found, lines, err := entries(strings.NewReader(list))
	if err != nil || lines != 9 || !slices.Equal(found, want) {
		t.Errorf("got %q, %d, %v", found, lines, err)
	}
}

func TestHitlistErrors(t *testing.T) {
	const neither = " is neither an IPv4 or IPv6 address nor a CIDR"
	for _, test := range []struct{ line, want string }{
		{"example.net", `"example.net"` + neither},
		{"192.0.2.1 192.0.2.2", `"192.0.2.1 192.0.2.2"` + neither},
		{"192.0.2.1,80", `"192.0.2.1,80"` + neither},
		{"192.0.2", `"192.0.2"` + neither},
		{"192.0.2.256", `"192.0.2.256"` + neither},
		{"192.0.02.1", `"192.0.02.1"` + neither}, // ZMap would read octal
		{"192.0.2.0/33", `"192.0.2.0/33"` + neither},
		{"192.0.2.0/", `"192.0.2.0/"` + neither},
		{"192.0.2.0/+8", `"192.0.2.0/+8"` + neither},
		{"192.0.2.0/08", `"192.0.2.0/08"` + neither},
		{"192.0.2.0/255.255.255.0", `"192.0.2.0/255.255.255.0"` + neither},
		{"192.0.2.1-192.0.2.9", `"192.0.2.1-192.0.2.9"` + neither},
		{"[2001:db8::1]", `"[2001:db8::1]"` + neither},
		{"2001:db8::/129", `"2001:db8::/129"` + neither},
		{"2001:db8:::1", `"2001:db8:::1"` + neither},
		{"192.0.2.1\x00", `"192.0.2.1\x00"` + neither},
		{"\x00", `"\x00"` + neither},
		{"192.0.2.1\r192.0.2.2", `"192.0.2.1\r192.0.2.2"` + neither},
		{"\ufeff192.0.2.1", `"\ufeff192.0.2.1"` + neither},
		{"fe80::1%eth0", `"fe80::1%eth0" has a zone: leave it out`},
		{"fe80::1%eth0/64", `"fe80::1%eth0/64" has a zone: leave it out`},
		{"::ffff:192.0.2.1", `"::ffff:192.0.2.1" is an IPv4-mapped address: write 192.0.2.1`},
		{"::ffff:c000:200/120", `"::ffff:c000:200/120" is an IPv4-mapped address: write 192.0.2.0/24`},
		{strings.Repeat("9", 100), `"` + strings.Repeat("9", 60) + `"…` + neither},
	} {
		found, _, err := entries(strings.NewReader("# comment\n192.0.2.7\n" + test.line + "\n192.0.2.8\n"))
		if err == nil || err.Error() != "list:3: "+test.want || len(found) != 1 {
			t.Errorf("%q: got %q, %v, want %s", test.line, found, err, test.want)
		}
	}
	if _, _, err := entries(bytes.NewReader(targetFile(addrs("192.0.2.1")))); err == nil || err.Error() != "list is a target file: a hitlist is text" {
		t.Errorf("a target file: %v", err)
	}
	// Host bits: what is meant, the address or the prefix?
	if _, _, err := build(t, nothingBlocked, 0, "192.0.2.1/24\n"); err == nil ||
		err.Error() != "list1:1: 192.0.2.1/24 has bits set beyond its prefix: write 192.0.2.0/24 for all of it, or the address alone" {
		t.Errorf("host bits: %v", err)
	}
}

// counted counts what is read.
type counted struct {
	io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

type repeated byte

func (r repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

// A line of a gigabyte is given up after maxLine, plain and out of a zip bomb.
func TestHitlistLongLines(t *testing.T) {
	long := "#" + strings.Repeat("x", maxLine-2) + "\n"
	if found, _, err := entries(strings.NewReader(long + "192.0.2.1\n")); err != nil || len(found) != 1 {
		t.Errorf("a line of maxLine: %q, %v", found, err)
	}
	if _, _, err := entries(strings.NewReader("\n#x" + long)); err == nil || !strings.HasPrefix(err.Error(), `list:2: a line of more than 65536 bytes, that begins with "#x#xxx`) {
		t.Errorf("a line of maxLine+2: %v", err)
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := io.CopyN(z, repeated('x'), 64<<20); err != nil {
		t.Fatal(err)
	}
	z.Close()
	for name, text := range map[string]io.Reader{"plain": io.LimitReader(repeated('x'), 1<<30), "gzip": &bomb} {
		in := &counted{Reader: text}
		_, _, err := entries(in)
		if err == nil || !strings.Contains(err.Error(), `list:1: a line of more than`) || in.n.Load() > 4*maxLine {
			t.Errorf("%s: %v after %d bytes", name, err, in.n.Load())
		}
	}
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t testing.TB, text string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(z.EncodeAll([]byte(text), nil))
}

func TestHitlistCompression(t *testing.T) {
	var text strings.Builder
	random := rand.New(rand.NewPCG(8, 8))
	for range 20_000 {
		fmt.Fprintf(&text, "%s\n", ipv4(random.Uint32()))
	}
	plain, _, err := entries(strings.NewReader(text.String()))
	if err != nil || len(plain) != 20_000 {
		t.Fatal(len(plain), err)
	}
	half := text.Len() / 2
	skippable := "\x5a\x2a\x4d\x18\x03\x00\x00\x00abc" // RFC 8878 §3.1.2
	for name, packed := range map[string]string{
		"gzip":                     gzipped(t, text.String()),
		"gzip, two members":        gzipped(t, text.String()[:half]) + gzipped(t, text.String()[half:]),
		"zstd":                     zstandard(t, text.String()),
		"zstd, two frames":         zstandard(t, text.String()[:half]) + zstandard(t, text.String()[half:]),
		"zstd, as pzstd writes it": skippable + zstandard(t, text.String()),
	} {
		found, lines, err := entries(strings.NewReader(packed))
		if err != nil || lines != 20_000 || !slices.Equal(found, plain) {
			t.Errorf("%s: %d of %d lines, %v", name, len(found), lines, err)
		}
		for cut := 1; cut < len(packed); cut = cut*3 + 1 {
			found, _, err := entries(strings.NewReader(packed[:len(packed)-cut]))
			if name == "gzip, two members" && len(packed)-cut == len(gzipped(t, text.String()[:half])) {
				continue
			}
			if err == nil {
				t.Errorf("%s without its last %d bytes: no error", name, cut)
			}
			// What was cut through is not taken for an entry.
			if len(found) > len(plain) || !slices.Equal(found, plain[:len(found)]) {
				t.Errorf("%s without its last %d bytes: entries that are not in the list", name, cut)
			}
		}
	}
	damaged := []byte(gzipped(t, text.String()))
	damaged[len(damaged)-6] ^= 1 // the checksum
	if _, _, err := entries(bytes.NewReader(damaged)); err == nil || !strings.Contains(err.Error(), "the file is damaged or was cut off") {
		t.Errorf("wrong checksum: %v", err)
	}
	if _, _, err := entries(strings.NewReader("\x1f\x8b")); err == nil {
		t.Error("two bytes of gzip: no error")
	}
	// A window of 2 GB (RFC 8878 §3.1.1.1.2) that the decoder would have to allocate.
	if _, _, err := entries(strings.NewReader("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00")); err == nil || !strings.Contains(err.Error(), "window") {
		t.Errorf("window of 2 GB: %v", err)
	}
}

func TestBlocklistGrammar(t *testing.T) {
	for _, text := range []string{"", "# nothing\n\n"} {
		if _, err := ParseBlocklist("my.conf", strings.NewReader(text)); err == nil || err.Error() != "blocklist my.conf has no entry" {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ParseBlocklist("my.conf", strings.NewReader("10.0.0.0/8\nexample.net\n")); err == nil || !strings.HasPrefix(err.Error(), `my.conf:2: "example.net"`) {
		t.Errorf("got %v", err)
	}
	if _, err := OpenBlocklist(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	if _, err := OpenBlocklist("/"); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("got %v", err)
	}
	list := blocklist(t, "192.0.2.9/24 # host bits\n10.0.0.0/8\n2001:db8::/32\n10.1.0.0/16\n198.51.100.7\n::1\n")
	var ipv4 strings.Builder
	if err := list.WriteIPv4(&ipv4); err != nil || ipv4.String() != "10.0.0.0/8\n192.0.2.0/24\n198.51.100.7/32\n" {
		t.Errorf("got %q, %v", ipv4.String(), err)
	}
}

// FuzzHitlist compares Build with the obvious: split, parse, expand, a set.
func FuzzHitlist(f *testing.F) {
	f.Add([]byte("192.0.2.1\r\n# x\n192.0.2.0/30 # y\n"), []byte("192.0.2.2"))
	f.Add([]byte("2001:db8::/120\n2001:db8::ff\n::ffff:192.0.2.1\n"), []byte("2001:db8::8/125\n10.0.0.0/8\n"))
	f.Add([]byte("fe80::1%eth0\n"), []byte("::/0"))
	f.Add([]byte("255.255.255.255\n0.0.0.0"), []byte("0.0.0.0/1\n"))
	f.Add([]byte("1.2.3.4\n::1\n\x00"), []byte("1.2.3.4/31"))
	f.Add([]byte(gzipped(f, "1.2.3.4\n")), []byte("::"))
	f.Add([]byte(zstandard(f, "1.2.3.4\n")), []byte("::"))
	f.Fuzz(func(t *testing.T, hitlist, blocked []byte) {
		list, err := ParseBlocklist("blocklist", bytes.NewReader(blocked))
		if err != nil {
			return
		}
		want, valid, obvious := obviously(hitlist, blocked)
		out := filepath.Join(t.TempDir(), "out")
		_, err = Build(t.Context(), out, Params{Inputs: []Input{{"list", bytes.NewReader(hitlist)}}, Blocklist: list})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("error of several lines: %q", err)
			}
			if obvious && valid && len(want) > 0 {
				t.Errorf("%v", err)
			}
			return
		}
		if !obvious {
			return
		}
		if !valid || len(want) == 0 {
			t.Fatalf("no error")
		}
		got, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(got, targetFile(want)) {
			t.Errorf("got %x, %v\nwant %x", got, err, targetFile(want))
		}
	})
}

// obviously returns what is to be written, and whether the list is valid; obvious is false where this
// would take long or is not as obvious.
func obviously(hitlist, blocked []byte) (want []netip.Addr, valid, obvious bool) {
	if !isPlain(hitlist) || !isPlain(blocked) {
		return nil, false, false
	}
	var blocks []netip.Prefix
	for line := range strings.SplitSeq(string(blocked), "\n") {
		if p, ok := obviousEntry(line); ok {
			blocks = append(blocks, p.Masked())
		}
	}
	set := map[netip.Addr]bool{}
	var family int
	for line := range strings.SplitSeq(string(hitlist), "\n") {
		if text, _, _ := strings.Cut(line, "#"); strings.TrimSpace(text) == "" {
			continue
		}
		p, ok := obviousEntry(line)
		if !ok || p != p.Masked() || family != 0 && family != p.Addr().BitLen() {
			return nil, false, true
		}
		family = p.Addr().BitLen()
		if family-p.Bits() > 10 {
			return nil, false, false
		}
		each(p, func(a netip.Addr) {
			if !slices.ContainsFunc(blocks, func(b netip.Prefix) bool { return b.Contains(a) }) {
				set[a] = true
			}
		})
	}
	for a := range set {
		want = append(want, a)
	}
	slices.SortFunc(want, netip.Addr.Compare)
	return want, true, true
}

func isPlain(text []byte) bool {
	return !bytes.HasPrefix(text, []byte{0x1f, 0x8b}) && !isZstd(text) && !bytes.HasPrefix(text, []byte(magic))
}

func obviousEntry(line string) (netip.Prefix, bool) {
	text, _, _ := strings.Cut(line, "#")
	text = strings.TrimSpace(text)
	p, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	mapped := netip.MustParsePrefix("::ffff:0:0/96")
	inside := p.Addr().Is4In6() && p.Bits() > mapped.Bits()
	return p, !inside
}
