package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

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

func TestAtomicFile(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "a", "b")
	f, err := CreateAtomic(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Reserve(100); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("content")); err != nil {
		t.Fatal(err)
	}
	if got := names(t, folder); !strings.HasPrefix(got, temporaryPrefix) || filepath.Ext(got) != "" && strings.Contains(got, ".parquet") {
		t.Errorf("before commit: %s", got)
	}
	path := filepath.Join(folder, "c", "name")
	if err := f.Commit(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Discard(); err != nil {
		t.Errorf("discard after commit: %v", err)
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != "content" || names(t, folder) != "c" {
		t.Errorf("%q, %v, %s", content, err, names(t, folder))
	}
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil || stat.Blocks*512 > 64<<10 {
		t.Errorf("%d blocks, %v: what was reserved was not given back", stat.Blocks, err)
	}
	if stat.Mode&0o777 != 0o666&^umask() {
		t.Errorf("mode %o", stat.Mode)
	}
}

func umask() uint32 {
	mask := unix.Umask(0)
	unix.Umask(mask)
	return uint32(mask)
}

// Leftovers of the dead are removed, files of the living are not.
func TestLeftovers(t *testing.T) {
	folder := t.TempDir()
	dead := filepath.Join(folder, temporaryPrefix+"dead")
	other := filepath.Join(folder, "other")
	for _, path := range []string{dead, other} {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	living, err := CreateAtomic(folder)
	if err != nil {
		t.Fatal(err)
	}
	next, err := CreateAtomic(folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is there: %v", err)
	}
	if err := errors.Join(living.Commit(filepath.Join(folder, "living")), next.Discard()); err != nil {
		t.Error(err)
	}
	if got := names(t, folder); got != "living other" {
		t.Errorf("left: %s", got)
	}
}

// A dataset that cannot be written is known before anything is made.
func TestCheckWritable(t *testing.T) {
	dir := t.TempDir()
	if err := CheckWritable(filepath.Join(dir, "new", "and", "deep")); err != nil {
		t.Error(err)
	}
	if err := CheckWritable(dir); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("made %v, %v", entries, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "census")} {
		if err := CheckWritable(path); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	readOnly := filepath.Join(dir, "read-only")
	if err := os.Mkdir(readOnly, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 { // root may write anywhere
		if err := CheckWritable(filepath.Join(readOnly, "census")); err == nil {
			t.Error("a folder that cannot be written")
		}
	}
}
