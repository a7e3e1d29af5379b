package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable makes the test's executable a writer to be killed: the location that it writes to.
const childVariable = "MPCENSUS_TEST_STORE_WRITER"

func TestMain(m *testing.M) {
	if location := os.Getenv(childVariable); location != "" {
		writeForEver(location)
	}
	os.Exit(m.Run())
}

func names(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestLocation(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	strange := "a b%20c?d#e:f*[g]\u00e9"
	for location, root := range map[string]string{
		"census":                             "census",
		"./census/":                          "census",
		dir + "/" + strange:                  dir + "/" + strange,
		"c:/census":                          "c:/census",
		"s3:/census":                         "s3:/census",
		"file:census":                        "file:census",
		"file://" + dir:                      dir,
		"file://localhost" + dir:             dir,
		"FILE://" + dir + "/100%25%3F%23":    dir + "/100%?#",
		"file://" + dir + "/%C3%A9t%C3%A9 x": dir + "/\u00e9t\u00e9 x",
	} {
		s := open(t, location)
		if got := s.(*Local).Path("a/b"); got != root+"/a/b" || s.String() != location {
			t.Errorf("%s: %s at %s", location, s, got)
		}
	}
	if got := names(t, dir); got != "" {
		t.Errorf("opening made %s", got)
	}
	if err := os.WriteFile("file", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"":                     "names no folder",
		"file://":              "names no folder",
		"file":                 "is a file",
		"file/below":           "not a directory",
		"file://host/census":   "another machine",
		"file:///census?a=b":   "%3F",
		"file:///census#a":     "%23",
		"file:///%zz":          "%zz",
		"gs://bucket":          "file:// or s3://",
		"https://example.com":  "file:// or s3://",
		"s3://":                "s3://BUCKET/PREFIX",
		"s3://bucket/../x":     "s3://BUCKET/PREFIX",
		"s3://key:pass@bucket": "s3://BUCKET/PREFIX",
	} {
		_, err := Open(t.Context(), location)
		checkOneLine(t, err, want)
		if err != nil && strings.Contains(err.Error(), "pass") {
			t.Errorf("shows a secret: %v", err)
		}
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	write(t, s, "unfinished/1/replies/a", "A")
	if err := s.Move(t.Context(), "unfinished/1/replies/a", "replies/a"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "replies" {
		t.Errorf("left %s", got)
	}
	info, err := os.Stat(filepath.Join(dir, "replies", "a"))
	if err != nil || info.Mode().Perm() != 0o666&^umask() {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := s.Remove(t.Context(), "replies/a"); err != nil || names(t, dir) != "" {
		t.Errorf("%v, left %s", err, names(t, dir))
	}
}

func umask() os.FileMode {
	mask := unix.Umask(0)
	unix.Umask(mask)
	return os.FileMode(mask)
}

// Leftovers of the dead are removed, files of the living are not.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{temporaryPrefix + "dead", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	living, err := s.Create(t.Context(), "living")
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Create(t.Context(), "next")
	if err != nil {
		t.Fatal(err)
	}
	if got := listed(t, s, ""); got != "other:0" {
		t.Errorf("listed %s", got)
	}
	if err := errors.Join(living.Commit(t.Context()), next.Discard()); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); got != "living other" {
		t.Errorf("left: %s", got)
	}
}

// writeForEver replaces a file by ever other whole content, and claims names.
func writeForEver(location string) {
	s, err := Open(context.Background(), location)
	for i := 0; err == nil; i++ {
		block := strings.Repeat(fmt.Sprintf("%08d", i), 1<<17)
		err = WriteFile(context.Background(), s, "unfinished/file", []byte(block))
		if err == nil {
			err = s.Move(context.Background(), "unfinished/file", "file")
		}
		if err == nil {
			err = s.Claim(context.Background(), fmt.Sprintf("claims/%08d", i), []byte(block[:8]))
		}
		fmt.Println(i)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// A writer that is killed leaves whole files, and nothing of those that it had not finished.
func TestKilled(t *testing.T) {
	for round := range 30 {
		dir := t.TempDir()
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childVariable+"="+dir)
		child.Stderr = os.Stderr
		output, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(output)
		if _, err := lines.ReadString('\n'); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Duration(round) * 700 * time.Microsecond)
		child.Process.Kill()
		rest, _ := io.ReadAll(lines)
		child.Wait()

		s := open(t, dir)
		file := content(t, s, "file")
		if len(file) != 1<<20 || file != strings.Repeat(file[:8], 1<<17) {
			t.Fatalf("torn: %d bytes, %.8q", len(file), file)
		}
		for info, err := range s.List(t.Context(), "claims") {
			if err != nil || content(t, s, info.Name) != strings.TrimPrefix(info.Name, "claims/") {
				t.Errorf("%s: %v", info.Name, err)
			}
		}
		if done := strings.Count(string(rest), "\n"); !strings.Contains(listed(t, s, "claims"), fmt.Sprintf("claims/%08d:8", done)) {
			t.Errorf("said to have claimed %d: %s", done, listed(t, s, "claims"))
		}
		write(t, s, "next", "")
		if got := names(t, dir); strings.Contains(got, temporaryPrefix) {
			t.Errorf("left %s", got)
		}
	}
}

// A full disk is an error and leaves no part of a file; the old one stays.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		if os.Getenv("CI") == "true" && os.Geteuid() == 0 {
			t.Fatalf("mount a small file system: %v", err)
		}
		t.Skipf("a small file system cannot be mounted: %v (try as root, or under unshare -Urm)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := open(t, dir)
	write(t, s, "a/file", "old")
	file, err := s.Create(t.Context(), "a/file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(file, large); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write: %v", err)
	}
	// The writer did not look, or others made room.
	if err := file.Commit(t.Context()); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("commit: %v", err)
	}
	if got := content(t, s, "a/file"); got != "old" || names(t, dir) != "a" {
		t.Errorf("got %.10q, %s", got, names(t, dir))
	}
	if err := s.Claim(t.Context(), "claim", []byte(large)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("claim: %v", err)
	}
	write(t, s, "a/file", large[:3<<20])
}

func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	write(t, s, "file", "")
	if _, err := s.Create(t.Context(), "file/below"); err != nil {
		t.Fatal(err)
	} else if err := WriteFile(t.Context(), s, "file/below", nil); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
	write(t, s, "folder/file", "")
	err := WriteFile(t.Context(), s, "folder", nil)
	checkOneLine(t, err, filepath.Join(dir, "folder"))
	if got := listed(t, s, ""); got != "file:0 folder/file:0" {
		t.Errorf("left %s", got)
	}
	if os.Geteuid() == 0 {
		return // root may write anywhere: TestUnwritableDataset of package e2e tries it as somebody else
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o755)
	_, err = s.Create(t.Context(), "a/b")
	checkOneLine(t, err, dir)
	checkOneLine(t, s.Move(t.Context(), "file", "other"), dir)
}

// BenchmarkCommit: how long the fsync at the end takes, after 128 MiB.
func BenchmarkCommit(b *testing.B) {
	s, err := Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	var write, commit time.Duration
	for b.Loop() {
		start := time.Now()
		file, err := s.Create(b.Context(), "file")
		if err != nil {
			b.Fatal(err)
		}
		for range 128 {
			if _, err := io.WriteString(file, large[:1<<20]); err != nil {
				b.Fatal(err)
			}
		}
		written := time.Now()
		if err := file.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		write += written.Sub(start)
		commit += time.Since(written)
	}
	b.ReportMetric(write.Seconds()*1000/float64(b.N), "ms-write")
	b.ReportMetric(commit.Seconds()*1000/float64(b.N), "ms-commit")
}

// A file that another process takes away at once, with its folder, was made all the same.
func TestTakenAtOnce(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer stop()
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for ctx.Err() == nil {
				_ = s.Remove(context.Background(), "folder/in/a")
				_ = s.Move(context.Background(), "folder/in/b", "elsewhere/b")
			}
		})
	}
	defer others.Wait()
	for n := 0; ctx.Err() == nil; n++ {
		if err := s.Claim(context.Background(), "folder/in/a", nil); err != nil {
			t.Errorf("claim %d: %v", n, err)
		}
		if err := WriteFile(context.Background(), s, "folder/in/b", nil); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
		_ = s.Remove(context.Background(), "folder/in/a")
	}
}
