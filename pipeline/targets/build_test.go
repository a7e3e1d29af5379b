package targets

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nothingBlocked holds one address of each family that no test uses.
const nothingBlocked = "255.255.255.255\nfeff::"

func blocklist(t testing.TB, text string) *Blocklist {
	t.Helper()
	list, err := ParseBlocklist("blocklist", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func inputs(texts ...string) []Input {
	var in []Input
	for i, text := range texts {
		in = append(in, Input{Name: fmt.Sprintf("list%d", i+1), Text: strings.NewReader(text)})
	}
	return in
}

// build returns the file that Build makes of lists.
func build(t testing.TB, blocked string, f Family, texts ...string) ([]byte, Summary, error) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	s, err := Build(t.Context(), out, Params{Inputs: inputs(texts...), Blocklist: blocklist(t, blocked), Family: f})
	if err != nil {
		entries, dirErr := os.ReadDir(filepath.Dir(out))
		if dirErr != nil || len(entries) != 0 {
			t.Errorf("after the error %v: left %v, %v", err, entries, dirErr)
		}
		return nil, s, err
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b, s, nil
}

// targetFile is the file of addresses, made the slow way.
func targetFile(addrs []netip.Addr) []byte {
	family := byte(6)
	if addrs[0].Is4() {
		family = 4
	}
	b := append([]byte("mptarget\x01"), family, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(len(addrs)))
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, a := range addrs {
		b = append(b, a.AsSlice()...)
	}
	return b
}

// The bytes of the format's description, written by hand.
func TestBuildWritesTheFormat(t *testing.T) {
	for _, test := range []struct{ list, want string }{
		{"198.51.100.7\n1.2.3.4\n198.51.100.7\n", "mptarget\x01\x04\x00\x00\x00\x00\x00\x00" +
			"\x00\x00\x00\x00\x00\x00\x00\x02" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
			"\x01\x02\x03\x04" + "\xc6\x33\x64\x07"},
		{"2001:db8::1:0/127", "mptarget\x01\x06\x00\x00\x00\x00\x00\x00" +
			"\x00\x00\x00\x00\x00\x00\x00\x02" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
			"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00" +
			"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"},
	} {
		got, _, err := build(t, nothingBlocked, 0, test.list)
		if err != nil || string(got) != test.want {
			t.Errorf("%q:\n got %q, %v\nwant %q", test.list, got, err, test.want)
		}
	}
}

// lists makes random hitlist lines and blocklist lines, crowded enough for duplicates and nesting,
// and what must come of them: every address expanded, one by one.
func lists(random *rand.Rand, f Family) (hitlist, blocked []string, want []netip.Addr, s Summary) {
	base := netip.MustParseAddr("2001:db8:ffff:ffff:ffff:ffff:ffff:fc00")
	if f == IPv4 {
		base = netip.MustParseAddr("203.0.112.0")
	}
	entry := func(host bool) netip.Prefix {
		b := base.AsSlice()
		// A carry beyond the lower 64 bits is among them.
		binary.BigEndian.PutUint16(b[len(b)-2:], binary.BigEndian.Uint16(b[len(b)-2:])+uint16(random.IntN(2048)))
		addr, _ := netip.AddrFromSlice(b)
		bits := addr.BitLen()
		if random.IntN(4) == 0 {
			bits -= random.IntN(8)
		}
		p := netip.PrefixFrom(addr, bits)
		if !host {
			p = p.Masked()
		}
		return p
	}
	text := func(p netip.Prefix) string {
		if p.IsSingleIP() && random.IntN(2) == 0 {
			return p.Addr().String()
		}
		return p.String()
	}
	blocks := map[netip.Addr]bool{}
	for range 1 + random.IntN(30) {
		p := entry(true)
		blocked = append(blocked, text(p))
		each(p.Masked(), func(a netip.Addr) { blocks[a] = true })
	}
	named := map[netip.Addr]bool{}
	for range random.IntN(400) {
		p := entry(false)
		hitlist = append(hitlist, text(p))
		each(p, func(a netip.Addr) {
			s.Addresses++
			if named[a] {
				s.Duplicates++
			}
			named[a] = true
		})
	}
	for a := range named {
		if blocks[a] {
			s.Blocked++
		} else {
			want = append(want, a)
		}
	}
	slices.SortFunc(want, netip.Addr.Compare)
	s.Family, s.Lines, s.Written = f, uint64(len(hitlist)), uint64(len(want))
	return hitlist, blocked, want, s
}

// each calls f with every address of p.
func each(p netip.Prefix, f func(netip.Addr)) {
	for a := p.Addr(); a.IsValid() && p.Contains(a); a = a.Next() {
		f(a)
	}
}

func TestBuildAgreesWithModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	for i := range 40 {
		family := []Family{IPv4, IPv6}[i%2]
		hitlist, blocked, want, counts := lists(random, family)
		// Over several inputs: it is the addresses that count.
		middle := len(hitlist) / 2
		got, s, err := build(t, strings.Join(blocked, "\n"), 0, strings.Join(hitlist[:middle], "\n"), strings.Join(hitlist[middle:], "\n"))
		if len(want) == 0 {
			if err == nil {
				t.Fatalf("%v without %v: no error", hitlist, blocked)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v without %v: %v", hitlist, blocked, err)
		}
		if s != counts {
			t.Fatalf("%v without %v:\n got %+v\nwant %+v", hitlist, blocked, s, counts)
		}
		if !bytes.Equal(got, targetFile(want)) {
			t.Fatalf("%v without %v:\n got %x\nwant %x", hitlist, blocked, got, targetFile(want))
		}
		// The same addresses in another order give the same bytes.
		slices.Reverse(hitlist)
		again, _, err := build(t, strings.Join(blocked, "\n"), 0, strings.Join(hitlist, "\n"))
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("another order gives another file: %v", err)
		}
	}
}

func TestBlocklistEdges(t *testing.T) {
	for _, test := range []struct{ list, blocked, want string }{
		{"192.0.2.0/29", "192.0.2.0", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7"},
		{"192.0.2.0/29", "192.0.2.7/32", "192.0.2.0 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6"},
		{"192.0.2.0/29", "192.0.2.2/31\n192.0.2.0/30\n192.0.2.6", "192.0.2.4 192.0.2.5 192.0.2.7"},
		{"192.0.1.255\n192.0.2.0\n192.0.2.255\n192.0.3.0", "192.0.2.0/24", "192.0.1.255 192.0.3.0"},
		{"192.0.1.255\n192.0.2.0\n192.0.2.255\n192.0.3.0", "192.0.2.77/24 # host bits: all of it", "192.0.1.255 192.0.3.0"},
		{"0.0.0.0\n255.255.255.255", "0.0.0.0", "255.255.255.255"},
		{"0.0.0.0\n255.255.255.255", "255.255.255.255", "0.0.0.0"},
		{"0.0.0.0/30\n255.255.255.254/31", "::/0\n192.0.2.1", "0.0.0.0 0.0.0.1 0.0.0.2 0.0.0.3 255.255.255.254 255.255.255.255"},
		{"192.0.2.0/31", "0.0.0.0/0", ""},
		{"::\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"},
		{"2001:db8:0:1::\n2001:db8:0:0:ffff:ffff:ffff:ffff\n2001:db8:0:2::", "2001:db8:0:1::/64", "2001:db8::ffff:ffff:ffff:ffff 2001:db8:0:2::"},
		{"2001:db7::\n2001:db8::\n2001:db8:ffff::\n2001:db9::", "2001:db8::/32\n2001:db8::/48", "2001:db7:: 2001:db9::"},
		{"2001:db8::", "::/0", ""},
	} {
		got, _, err := build(t, test.blocked, 0, test.list)
		var want []byte
		if test.want != "" {
			var addrs []netip.Addr
			for _, text := range strings.Fields(test.want) {
				addrs = append(addrs, netip.MustParseAddr(text))
			}
			want = targetFile(addrs)
		} else if err == nil || !strings.Contains(err.Error(), "no target is left") {
			t.Errorf("%q without %q: error %v", test.list, test.blocked, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%q without %q:\n got %x, %v\nwant %x", test.list, test.blocked, got, err, want)
		}
	}
}

func TestFamilies(t *testing.T) {
	both := "192.0.2.1\n\n2001:db8::1\n192.0.2.2\n2001:db8::2/127\n"
	if _, _, err := build(t, nothingBlocked, 0, both); err == nil ||
		err.Error() != "list1:3: 2001:db8::1/128 is ipv6, addresses before it are ipv4: a target file has one family, choose it by targets build --family" {
		t.Errorf("both families: %v", err)
	}
	// Also over several files.
	if _, _, err := build(t, nothingBlocked, 0, "2001:db8::1", "192.0.2.1"); err == nil || !strings.HasPrefix(err.Error(), "list2:1: 192.0.2.1/32 is ipv4") {
		t.Errorf("a family a file: %v", err)
	}
	got, s, err := build(t, nothingBlocked, IPv6, both)
	want := Summary{Family: IPv6, Lines: 5, OtherFamily: 2, Addresses: 3, Written: 3}
	if err != nil || s != want {
		t.Errorf("got %+v, %v, want %+v", s, err, want)
	}
	if got[9] != 6 {
		t.Errorf("family %d", got[9])
	}
	if _, _, err := build(t, nothingBlocked, IPv4, "2001:db8::1"); err == nil || !strings.Contains(err.Error(), "no ipv4 address") {
		t.Errorf("nothing of the family: %v", err)
	}
}

func TestBounds(t *testing.T) {
	for _, test := range []struct{ list, want string }{
		{"# a comment\n2001:db8::/64\n", "list1:2: 2001:db8::/64 has 2^64 addresses, a CIDR may have 2^28"},
		{"::/0", "list1:1: ::/0 has 2^128 addresses"},
		{"0.0.0.0/3", "list1:1: 0.0.0.0/3 has 2^29 addresses"},
		{"", "no address in the hitlist"},
		{"\n\n# nothing\n", "no address in the hitlist"},
	} {
		if _, _, err := build(t, nothingBlocked, 0, test.list); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s", test.list, err, test.want)
		}
	}
}

// More targets than a file holds are refused when they are written, not before: duplicates do not count.
func TestTooManyTargets(t *testing.T) {
	w := newWriter(t.Context(), &output{}, IPv4)
	w.buffer.Reset(io.Discard)
	w.count = 1<<maxTargetBits - 2
	p := prefixOf(netip.MustParsePrefix("192.0.2.0/31"))
	if err := w.writeOutside(p, nil); err != nil {
		t.Errorf("2^28 targets: %v", err)
	}
	if err := w.writeOutside(prefixOf(netip.MustParsePrefix("192.0.2.2/32")), nil); err == nil {
		t.Error("no error for 2^28 + 1 targets")
	}
}

func TestBuildReplacesOnlyTargetFiles(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	run := func(list string) error {
		_, err := Build(t.Context(), out, Params{Inputs: inputs(list), Blocklist: blocklist(t, nothingBlocked)})
		return err
	}
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run("192.0.2.1"); err != nil {
		t.Errorf("an empty file is not replaced: %v", err)
	}
	if err := run("192.0.2.2"); err != nil {
		t.Errorf("a target file is not replaced: %v", err)
	}
	before, _ := os.ReadFile(out)
	if !bytes.Equal(before, targetFile([]netip.Addr{netip.MustParseAddr("192.0.2.2")})) {
		t.Errorf("got %x", before)
	}
	if err := run("192.0.2.3\nx"); err == nil {
		t.Error("no error")
	}
	if after, _ := os.ReadFile(out); !bytes.Equal(after, before) {
		t.Error("a failed build changed the file")
	}
	if err := os.WriteFile(out, []byte("192.0.2.4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run("192.0.2.5"); err == nil || !strings.Contains(err.Error(), "is no target file: name another") {
		t.Errorf("a hitlist is replaced: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
	// Stand for /dev/null and /dev/stdout, which a build by root would replace for the whole machine.
	special, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := errors.Join(unix.Mkfifo(special, 0o600), os.Truncate(out, 0), os.Symlink(out, link)); err != nil {
		t.Fatal(err)
	}
	for _, out = range []string{special, link} {
		if err := run("192.0.2.5"); err == nil || !strings.Contains(err.Error(), "is no target file: name another") {
			t.Errorf("%s is replaced: %v", out, err)
		}
	}
	out = filepath.Join(dir, "nowhere", "out")
	if err := run("192.0.2.5"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// endless is a hitlist that goes on and on.
type endless struct{}

func (endless) Read(p []byte) (n int, err error) {
	const line = "192.0.2.1\n"
	for n+len(line) <= len(p) {
		n += copy(p[n:], line)
	}
	return n, nil
}

func TestBuildCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	calls := 0
	_, err := Build(ctx, filepath.Join(dir, "out"), Params{
		Inputs:    []Input{{"endless", endless{}}},
		Blocklist: blocklist(t, nothingBlocked),
		Progress: func(s Summary) {
			if calls++; s.Lines != uint64(calls)*progressInterval || s.Addresses != s.Lines-1 {
				t.Errorf("call %d: %+v", calls, s)
			}
			if calls == 2 {
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) || calls != 2 {
		t.Errorf("got %v after %d calls", err, calls)
	}
	// While a long CIDR is being written.
	if _, err := Build(ctx, filepath.Join(dir, "out"), Params{Inputs: inputs("192.0.2.0/24"), Blocklist: blocklist(t, nothingBlocked)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// A list that is not at its end and sends nothing, or nothing but comments, keeps nobody waiting: plain,
// and as what the decoder of a compressed one waits for.
func TestInterruptReachesWaitingReaders(t *testing.T) {
	zipped := new(bytes.Buffer)
	z := gzip.NewWriter(zipped)
	z.Write([]byte("192.0.2.1\n"))
	z.Flush()
	for name, c := range map[string]struct {
		start string
		then  func(w io.Writer) error
	}{
		"silence":  {"192.0.2.1\n", func(io.Writer) error { return nil }},
		"nothing":  {"", func(io.Writer) error { return nil }},
		"gzip":     {zipped.String(), func(io.Writer) error { return nil }},
		"comments": {"", func(w io.Writer) error { _, err := w.Write([]byte("# comment\n")); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			out, in := io.Pipe()
			defer in.Close()
			ctx, cancel := context.WithCancel(t.Context())
			dir := t.TempDir()
			ended := make(chan error, 1)
			go func() {
				_, err := Build(ctx, filepath.Join(dir, "out"), Params{Inputs: []Input{{"list", out}}, Blocklist: blocklist(t, nothingBlocked)})
				out.Close()
				ended <- err
			}()
			if _, err := io.WriteString(in, c.start); err != nil {
				t.Fatal(err)
			}
			for range 100 {
				if err := c.then(in); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			go func() {
				for c.then(in) == nil && name == "comments" {
				}
			}()
			select {
			case err := <-ended:
				if err != context.Canceled {
					t.Errorf("got %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it still waits")
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
				t.Errorf("left: %v, %v", entries, err)
			}
		})
	}
}
