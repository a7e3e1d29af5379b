package targets

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func addrs(text string) []netip.Addr {
	var found []netip.Addr
	for field := range strings.FieldsSeq(text) {
		found = append(found, netip.MustParseAddr(field))
	}
	return found
}

// open writes a target file and opens it.
func open(t testing.TB, content []byte) (*File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hitlist.targets")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err == nil {
		t.Cleanup(func() { f.Close() })
	}
	return f, err
}

func TestOpen(t *testing.T) {
	for _, text := range []string{"1.2.3.4", "1.2.3.4 198.51.100.7 255.255.255.255", "2001:db8::1 2001:db8::2 ff::"} {
		want := addrs(text)
		content := targetFile(want)
		f, err := open(t, content)
		if err != nil {
			t.Fatal(err)
		}
		if f.Count != uint64(len(want)) || (f.Family == IPv4) != want[0].Is4() {
			t.Errorf("%s: %d of %s", text, f.Count, f.Family)
		}
		for i, w := range want {
			if a, err := f.At(uint64(i)); a != w || err != nil {
				t.Errorf("%s: %d is %s, %v", text, i, a, err)
			}
		}
		if a, err := f.First(); a != want[0] || err != nil {
			t.Errorf("%s: first %s, %v", text, a, err)
		}
		if a, err := f.At(f.Count); err == nil {
			t.Errorf("%s: one too many is %s", text, a)
		}
		digest := sha256.Sum256(content)
		if got, err := f.SHA256(); got != hex.EncodeToString(digest[:]) || err != nil {
			t.Errorf("%s: digest %s, %v", text, got, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	valid := targetFile(addrs("2001:db8::1 2001:db8::2"))
	change := func(at int, value ...byte) []byte {
		b := bytes.Clone(valid)
		copy(b[at:], value)
		return b
	}
	for _, test := range []struct {
		content []byte
		want    string
	}{
		{nil, "no target file"},
		{valid[:31], "no target file"},
		{change(0, 'M'), "no target file"},
		{[]byte("192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n"), "no target file"},
		{change(8, 2), "target file of format version 2"},
		{change(8, 0), "target file of format version 0"},
		{change(9, 0), "damaged target file: address family 0"},
		{change(9, 46), "damaged target file: address family 46"},
		{change(9, 4), "damaged target file: 64 bytes long, 2 targets take 40"},
		{change(10, 1), "damaged target file: reserved bytes are not zero"},
		{change(15, 1), "damaged target file: reserved bytes are not zero"},
		{change(24, 1), "damaged target file: reserved bytes are not zero"},
		{change(31, 1), "damaged target file: reserved bytes are not zero"},
		{change(23, 0)[:32], "damaged target file: it says that it has 0 targets"},
		{change(23, 1), "damaged target file: 64 bytes long, 1 targets take 48"},
		{change(23, 3), "damaged target file: 64 bytes long, 3 targets take 80"},
		{change(16, 0x80), "damaged target file: it says that it has 9223372036854775810 targets"},
		// 2^60 records of 16 bytes are 2^64 bytes: the product must not wrap.
		{change(16, 0x10, 0, 0, 0, 0, 0, 0, 2), "damaged target file: it says that it has 1152921504606846978 targets"},
		{change(16, 0, 0, 0, 0, 0xff, 0, 0, 1), "damaged target file: it says that it has 4278190081 targets"},
		{change(16, 0, 0, 0, 0, 0xff, 0, 0, 0), "damaged target file: 64 bytes long, 4278190080 targets take 68451041312"},
		{valid[:63], "damaged target file: 63 bytes long"},
		{append(bytes.Clone(valid), 0), "damaged target file: 65 bytes long"},
	} {
		_, err := open(t, test.content)
		if err == nil || !strings.Contains(err.Error(), "hitlist.targets: "+test.want) || !strings.HasSuffix(err.Error(), ": make it with mpcensus targets build") {
			t.Errorf("%q:\n got %v\nwant %s", test.content, err, test.want)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "must be a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}

func TestIsTargetFile(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]bool{"": false, "1.2.3.4": false, "1.2.3.4\n1.2.3.5\n": false, "mptarge": false, "mptarget": true, "mptarget\x02": true} {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := IsTargetFile(path); got != want || err != nil {
			t.Errorf("%q: %t, %v", content, got, err)
		}
	}
	// A pipe is not waited for.
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := IsTargetFile(fifo); got || err != nil {
		t.Errorf("pipe: %t, %v", got, err)
	}
	if _, err := Open(fifo); err == nil {
		t.Error("a pipe was opened")
	}
	if _, err := IsTargetFile(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}

func TestBlocked(t *testing.T) {
	for _, test := range []struct {
		addrs, blocked string
		n              uint64
		first          string
	}{
		{"192.0.2.0 192.0.2.1 192.0.2.2 192.0.2.255 192.0.3.0", "192.0.2.0/24", 4, "192.0.2.0"},
		{"192.0.1.255 192.0.3.0", "192.0.2.0/24", 0, ""},
		{"192.0.1.255 192.0.2.0 192.0.3.0", "192.0.3.0/32\n192.0.2.0/24\n192.0.2.0/25", 2, "192.0.2.0"},
		{"0.0.0.0 255.255.255.255", "0.0.0.0/0", 2, "0.0.0.0"},
		{"0.0.0.0 255.255.255.255", "255.255.255.255", 1, "255.255.255.255"},
		{"0.0.0.0 255.255.255.255", "::/0", 0, ""},
		{":: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0", 2, "::"},
		{":: ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", 1, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9::", "2001:db8::/32", 2, "2001:db8::"},
	} {
		f, err := open(t, targetFile(addrs(test.addrs)))
		if err != nil {
			t.Fatal(err)
		}
		n, first, err := f.Blocked(blocklist(t, test.blocked))
		if err != nil || n != test.n || n > 0 && first.String() != test.first {
			t.Errorf("%s on %q: %d, %s, %v", test.addrs, test.blocked, n, first, err)
		}
	}
}

func TestBlockedAgreesWithModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 7))
	for i := range 30 {
		hitlist, blocked, _, counts := lists(random, []Family{IPv4, IPv6}[i%2])
		content, _, err := build(t, "255.255.255.255", 0, strings.Join(hitlist, "\n"))
		if err != nil {
			continue // an empty list
		}
		f, err := open(t, content)
		if err != nil {
			t.Fatal(err)
		}
		n, first, err := f.Blocked(blocklist(t, strings.Join(blocked, "\n")))
		if err != nil || n != counts.Blocked {
			t.Fatalf("%v on %v: %d, %v, want %d", hitlist, blocked, n, err, counts.Blocked)
		}
		if n == 0 {
			continue
		}
		all := slices.ContainsFunc(blocked, func(text string) bool {
			p, ok := obviousEntry(text)
			return ok && p.Masked().Contains(first)
		})
		if !all {
			t.Fatalf("%s is not on %v", first, blocked)
		}
	}
}

func TestBlockedRefusesDisorder(t *testing.T) {
	for _, test := range []struct{ addrs, want string }{
		{"192.0.2.1 192.0.2.1", "target 1, 192.0.2.1, is not above the one before it"},
		{"192.0.2.1 192.0.2.3 192.0.2.2", "target 2, 192.0.2.2, is not above the one before it"},
		{"2001:db8::1 2001:db7:ffff::", "target 1, 2001:db7:ffff::, is not above the one before it"},
	} {
		f, err := open(t, targetFile(addrs(test.addrs)))
		if err != nil {
			t.Fatal(err)
		}
		if n, _, err := f.Blocked(blocklist(t, nothingBlocked)); err == nil || n != 0 || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %d, %v", test.addrs, n, err)
		}
	}
}

// A file that becomes shorter while it is open is an error, not a crash.
func TestFileCutWhileOpen(t *testing.T) {
	f, err := open(t, targetFile(addrs("192.0.2.1 192.0.2.2 192.0.2.3")))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(f.file.Name(), 40); err != nil {
		t.Fatal(err)
	}
	if a, err := f.At(2); err == nil {
		t.Errorf("got %s", a)
	}
	if n, _, err := f.Blocked(blocklist(t, nothingBlocked)); err == nil {
		t.Errorf("got %d", n)
	}
	if digest, err := f.SHA256(); err == nil {
		t.Errorf("digest %s of a part", digest)
	}
}

func TestFileIsSafeForConcurrentUse(t *testing.T) {
	want := addrs("192.0.2.1 192.0.2.2 192.0.2.3")
	f, err := open(t, targetFile(want))
	if err != nil {
		t.Fatal(err)
	}
	list := blocklist(t, "192.0.2.2/31")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for i := range 100 {
				if a, err := f.At(uint64(i % 3)); a != want[i%3] || err != nil {
					t.Errorf("got %s, %v", a, err)
				}
			}
			if n, _, err := f.Blocked(list); n != 2 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
	wait.Wait()
}

func FuzzOpen(f *testing.F) {
	f.Add(targetFile(addrs("192.0.2.1")))
	f.Add(targetFile(addrs("192.0.2.1 192.0.2.1")))
	f.Add(targetFile(addrs("2001:db8::1 2001:db8::2")))
	f.Add(targetFile(addrs("2001:db8::2 2001:db8::1"))[:63])
	f.Add([]byte("mptarget"))
	f.Add([]byte("192.0.2.1\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := open(t, content)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		// A file that opens is the file of the addresses in it.
		var found []netip.Addr
		for i := range file.Count {
			a, err := file.At(i)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, a)
		}
		if !bytes.Equal(targetFile(found), content) {
			t.Errorf("%x is read as %v", content, found)
		}
		ascending := slices.IsSortedFunc(found, netip.Addr.Compare) && len(slices.Compact(slices.Clone(found))) == len(found)
		n, first, err := file.Blocked(blocklist(t, "0.0.0.0/0\n::/0"))
		if ascending != (err == nil) || err == nil && (n != file.Count || first != found[0]) {
			t.Errorf("%v: %d, %s, %v", found, n, first, err)
		}
	})
}
