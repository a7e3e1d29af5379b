package targets

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A full disk is an error, and leaves nothing behind.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
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
	out := filepath.Join(dir, "out")
	for _, test := range []struct {
		cidrs string
		fits  bool
	}{
		{"2001:db8::/113\n2001:db8::1:0/114", true}, // 49,152 records of 16 bytes
		{"2001:db8::/112", false},                   // 65,536
	} {
		_, err := Build(t.Context(), out, Params{Inputs: inputs(test.cidrs), Blocklist: blocklist(t, nothingBlocked)})
		if test.fits != (err == nil) || err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%q: %v", test.cidrs, err)
		}
		entries, dirErr := os.ReadDir(dir)
		if dirErr != nil || len(entries) != 0 && !test.fits {
			t.Errorf("%q: left %v, %v", test.cidrs, entries, dirErr)
		}
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
	}
}
