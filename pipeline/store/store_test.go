package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/mpcensus/mpcensus/pipeline/store/s3test"
)

// Both stores keep the same promises.
func TestLocal(t *testing.T) {
	conformance(t, func(t *testing.T) string { return t.TempDir() + "/new/census" })
}

func TestS3(t *testing.T) {
	server := s3test.Start(t)
	t.Run("no prefix", func(t *testing.T) { testList(t, open(t, server.Location(""))) })
	n := 0
	conformance(t, func(*testing.T) string {
		n++
		return server.Location(fmt.Sprintf("some prefix/%d", n))
	})
}

// conformance runs each test in a new store.
func conformance(t *testing.T, location func(t *testing.T) string) {
	for name, test := range map[string]func(t *testing.T, s Store){
		"replace": testReplace,
		"discard": testDiscard,
		"claim":   testClaim,
		"move":    testMove,
		"list":    testList,
		"names":   testNames,
		"missing": testMissing,
		"reader":  testReader,
		"context": testContext,
		"small":   testSmallFiles,
	} {
		t.Run(name, func(t *testing.T) {
			l := location(t)
			s := open(t, l)
			if s.String() != l {
				t.Errorf("location %s is called %s", l, s)
			}
			test(t, s)
		})
	}
}

func open(t *testing.T, location string) Store {
	t.Helper()
	s, err := Open(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func write(t *testing.T, s Store, name, content string) {
	t.Helper()
	if err := WriteFile(t.Context(), s, name, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

// content is what a file has, or the kind of error that it gives.
func content(t *testing.T, s Store, name string) string {
	t.Helper()
	b, err := ReadFile(t.Context(), s, name, 1<<30)
	if errors.Is(err, fs.ErrNotExist) {
		checkOneLine(t, err, name)
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func listed(t *testing.T, s Store, folder string) string {
	t.Helper()
	var all []string
	for info, err := range s.List(t.Context(), folder) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s:%d", info.Name, info.Size))
	}
	return strings.Join(all, " ")
}

// checkOneLine checks that a user can do something with an error.
func checkOneLine(t *testing.T, err error, about string) {
	t.Helper()
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), about) || len(err.Error()) > 400 {
		t.Errorf("not one line about %s: %v", about, err)
	}
}

// large is more than an object store takes in one request.
var large = func() string {
	b := make([]byte, 40<<20)
	rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}()

// A file is replaced at once, by whole content only.
func testReplace(t *testing.T, s Store) {
	write(t, s, "a/b/file", "old")
	file, err := s.Create(t.Context(), "a/b/file")
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk([]byte(large), 3<<20) {
		if _, err := file.Write(part); err != nil {
			t.Fatal(err)
		}
		if got := content(t, s, "a/b/file"); got != "old" || listed(t, s, "") != "a/b/file:3" {
			t.Fatalf("while written: %.10q, %s", got, listed(t, s, ""))
		}
	}
	if err := file.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := file.Discard(); err != nil {
		t.Errorf("discard after commit: %v", err)
	}
	if got := content(t, s, "a/b/file"); got != large {
		t.Errorf("got %d bytes of %d, or others", len(got), len(large))
	}
	write(t, s, "a/b/file", "")
	if got := content(t, s, "a/b/file"); got != "" {
		t.Errorf("empty: got %q", got)
	}
}

// What is discarded never appears, be it little or much.
func testDiscard(t *testing.T, s Store) {
	write(t, s, "there", "old")
	for _, name := range []string{"there", "new/one"} {
		for _, size := range []int{0, 10, len(large)} {
			file, err := s.Create(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(file, large[:size]); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(file.Discard(), file.Discard()); err != nil {
				t.Error(err)
			}
			if err := file.Commit(t.Context()); err == nil {
				t.Error("commit after discard")
			}
		}
	}
	if got := listed(t, s, ""); got != "there:3" {
		t.Errorf("left %s", got)
	}
}

// Of many who claim a name at once, in two stores of the same place, one has it.
func testClaim(t *testing.T, s Store) {
	stores := []Store{s, open(t, s.String())}
	for round := range 10 {
		name := fmt.Sprintf("claims/%d", round)
		var winners, losers atomic.Int32
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				err := stores[i%2].Claim(t.Context(), name, []byte("mine"))
				switch {
				case err == nil:
					winners.Add(1)
				case errors.Is(err, fs.ErrExist):
					losers.Add(1)
					checkOneLine(t, err, name)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if winners.Load() != 1 || losers.Load() != 15 || content(t, s, name) != "mine" {
			t.Errorf("%d winners, %d losers, %q", winners.Load(), losers.Load(), content(t, s, name))
		}
	}
	if err := s.Remove(t.Context(), "claims/0"); err != nil {
		t.Error(err)
	}
	if err := s.Claim(t.Context(), "claims/0", nil); err != nil {
		t.Errorf("free again: %v", err)
	}
}

func testMove(t *testing.T, s Store) {
	write(t, s, "unfinished/x/a", "A")
	write(t, s, "unfinished/x/b", "B")
	write(t, s, "to/b", "old")
	for _, name := range []string{"a", "b"} {
		if err := s.Move(t.Context(), "unfinished/x/"+name, "to/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if got := listed(t, s, ""); got != "to/a:1 to/b:1" || content(t, s, "to/a") != "A" || content(t, s, "to/b") != "B" {
		t.Errorf("got %s, %q", got, content(t, s, "to/b"))
	}
	// A former Move died between copy and removal.
	write(t, s, "unfinished/x/a", "A")
	if err := s.Move(t.Context(), "unfinished/x/a", "to/a"); err != nil || listed(t, s, "") != "to/a:1 to/b:1" {
		t.Errorf("again: %v, %s", err, listed(t, s, ""))
	}
	if err := s.Move(t.Context(), "unfinished/x/a", "to/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is gone: %v", err)
	}
	if err := s.Move(t.Context(), "to/a", "to/a"); err == nil {
		t.Error("to itself")
	}
	if got := listed(t, s, ""); got != "to/a:1 to/b:1" {
		t.Errorf("left %s", got)
	}
}

// The order is that of the names' bytes, also where a folder and a file begin alike.
func testList(t *testing.T, s Store) {
	names := []string{"a/b", "a/b-c", "a/bb/c/d", "a-b", "a.b", "a0", "b", "ab/c", "\u00e9", "z", "Z/z", "\U0001f600"}
	for i, name := range names {
		write(t, s, name, strings.Repeat("x", i))
	}
	sorted := slices.Sorted(slices.Values(names))
	for _, folder := range []string{"", "a", "a/bb", "ab", "none", "z"} {
		var want []string
		for _, name := range sorted {
			if folder == "" || strings.HasPrefix(name, folder+"/") {
				want = append(want, fmt.Sprintf("%s:%d", name, slices.Index(names, name)))
			}
		}
		if got := listed(t, s, folder); got != strings.Join(want, " ") {
			t.Errorf("%q:\n got %s\nwant %s", folder, got, want)
		}
	}
	for range s.List(t.Context(), "") {
		break
	}
}

// Names that mean something to a shell, a URL or an object store are names like others.
func testNames(t *testing.T, s Store) {
	names := []string{
		"a b/c d", "a+b", "date=2026-11-23/port=443/x", "100%/%2F/%zz", "what?/*", "[a-z]", "#1", "a&b=c", `quote"'`, `back\slash`,
		"\u00fcml\u00e4ut/\u65e5\u672c", "a:b", "~x", "...", "..a", ".hidden", "semi;colon", strings.Repeat("n", 200),
	}
	for _, name := range names {
		write(t, s, name, name)
		if got := content(t, s, name); got != name {
			t.Errorf("%q: read %q", name, got)
		}
		if err := s.Claim(t.Context(), name, nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%q: claimed: %v", name, err)
		}
		if err := s.Move(t.Context(), name, "moved"); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if err := s.Move(t.Context(), "moved", "moved into/"+name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	var got []string
	for info, err := range s.List(t.Context(), "moved into") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimPrefix(info.Name, "moved into/"))
		if err := s.Remove(t.Context(), info.Name); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("listed %q\nwant   %q", got, names)
	}
	if left := listed(t, s, ""); left != "" {
		t.Errorf("left %s", left)
	}
	for _, name := range badNames {
		_, createErr := s.Create(t.Context(), name)
		_, openErr := s.Open(t.Context(), name)
		for i, err := range []error{createErr, openErr, s.Claim(t.Context(), name, nil), s.Remove(t.Context(), name),
			s.Move(t.Context(), name, "x"), s.Move(t.Context(), "x", name)} {
			if err == nil || errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q, call %d: %v", name, i, err)
			}
		}
		for _, err := range s.List(t.Context(), name) {
			if name != "" && err == nil {
				t.Errorf("%q: listed", name)
			}
		}
	}
}

var badNames = []string{"", ".", "..", "/", "/etc/passwd", "a/", "a//b", "../a", "a/../b", "a/..", "./a", "a/.", "a\x00b", "a\nb", "\x7f", "\xff",
	".tmp-1", "a/.tmp-1", ".tmp-1/a", "a__0x2f__b", "a../b"}

// FuzzName: no name leads out of the folder.
func FuzzName(f *testing.F) {
	for _, name := range badNames {
		f.Add(name)
	}
	f.Add("date=2026-11-23/x")
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		path := (&Local{root: "/root/folder"}).Path(name)
		if path != "/root/folder/"+name || strings.ContainsAny(name, "\x00\n") || name == "" {
			t.Errorf("%q is at %q", name, path)
		}
	})
}

func testMissing(t *testing.T, s Store) {
	if got := content(t, s, "no/file"); got != "none" {
		t.Errorf("got %q", got)
	}
	if err := s.Remove(t.Context(), "no/file"); err != nil {
		t.Error(err)
	}
	if got := listed(t, s, ""); got != "" {
		t.Errorf("listed %s", got)
	}
	write(t, s, "a/b/c", "")
	if err := errors.Join(s.Remove(t.Context(), "a/b/c"), s.Remove(t.Context(), "a/b/c")); err != nil {
		t.Error(err)
	}
	if got := listed(t, s, ""); got != "" {
		t.Errorf("left %s", got)
	}
}

func testReader(t *testing.T, s Store) {
	const text = "0123456789 and more"
	for _, text := range []string{text, "", large[:100_000]} {
		write(t, s, "text", text)
		file, err := s.Open(t.Context(), "text")
		if err != nil {
			t.Fatal(err)
		}
		if file.Size() != int64(len(text)) {
			t.Errorf("size %d of %d", file.Size(), len(text))
		}
		if len(text) < 100 { // many requests
			if err := iotest.TestReader(file, []byte(text)); err != nil {
				t.Error(err)
			}
		} else if got, err := io.ReadAll(file); err != nil || string(got) != text {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What was interrupted does not appear.
func testContext(t *testing.T, s Store) {
	for _, size := range []int{10, len(large)} {
		for _, of := range []string{"create", "commit"} {
			ctx, cancel := context.WithCancel(t.Context())
			createCtx, commitCtx := ctx, t.Context()
			if of == "commit" {
				createCtx, commitCtx = commitCtx, createCtx
			}
			file, err := s.Create(createCtx, "file")
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(file, large[:size])
			cancel()
			err = file.Commit(commitCtx)
			checkOneLine(t, err, "cancel")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", of, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i, err := range []error{s.Claim(ctx, "claim", nil), s.Move(ctx, "a", "b"), WriteFile(ctx, s, "file", []byte("x"))} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if got := listed(t, s, ""); got != "" {
		t.Errorf("appeared: %s", got)
	}
}

func testSmallFiles(t *testing.T, s Store) {
	write(t, s, "small", "1234")
	if b, err := ReadFile(t.Context(), s, "small", 4); err != nil || !bytes.Equal(b, []byte("1234")) {
		t.Errorf("%q, %v", b, err)
	}
	_, err := ReadFile(t.Context(), s, "small", 3)
	checkOneLine(t, err, "small")
}
