package spool

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of the given size. It needs root, which `unshare -Urm go test` gives
// where user namespaces are allowed.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
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
	return dir
}

// A full disk ends writing; every frame that was written stays, and the file ends with one.
func TestFullDisk(t *testing.T) {
	path := smallDisk(t, "4m") + "/rows.jsonl.zst"
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	input := rows(200_000)
	var n int64
	// The queue holds more than the input, so that the error may come at a later read.
	for err == nil {
		var more int64
		more, err = w.ReadFrom(bytes.NewReader(input))
		n += more
	}
	if !errors.Is(err, unix.ENOSPC) || n > queueSize+int64(len(input)) {
		t.Errorf("%d bytes, then %v", n, err)
	}
	if err := w.Close(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Close: %v", err)
	}
	content, torn := read(t, path)
	if torn != 0 || len(content) < 8<<20 || content[len(content)-1] != '\n' {
		t.Errorf("%d bytes are left, %d torn", len(content), torn)
	}
	expect(t, "left", content, input[:min(len(content), len(input))])
	expect(t, "zstd", zstdTool(t, path), content)
}
