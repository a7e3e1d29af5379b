package ingest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
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

// When the disk is full, nothing of the scan shows; when there is room again, Resume gives the bytes of an
// undisturbed run.
func TestFullDisk(t *testing.T) {
	rows := generate(20_000)
	junk := bytes.Repeat([]byte("\x00 not a row, and not short either\n"), 100_000)
	for _, format := range []dataset.Format{dataset.Parquet, dataset.Arrow} {
		for _, test := range []struct {
			name string
			rows []byte
			room string
		}{
			{"at once", rows, "64k"},
			{"by replies", rows, "1m"},
			{"by rejects", append(bytes.Clone(rows[:1<<20]), junk...), "3m"},
		} {
			t.Run(string(format)+" "+test.name, func(t *testing.T) {
				p := params()
				p.Format, p.sizes = format, sizes{block: 256 << 10, part: 3}
				undisturbed := t.TempDir()
				mustRun(t, undisturbed, test.rows, p)

				dir := smallDisk(t, test.room)
				s, err := run(t.Context(), t, dir, bytes.NewReader(test.rows), p)
				if !errors.Is(err, unix.ENOSPC) || !errors.Is(err, ErrUnfinished) || s.Scan.ID != "" {
					t.Fatalf("got %+v, %v", s, err)
				}
				for name := range tree(t, dir) {
					if !strings.HasPrefix(name, "unfinished/") {
						t.Errorf("%s is visible", name)
					}
				}

				// Half of it done is not done again.
				if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=1g"); err != nil {
					t.Fatal(err)
				}
				p.Resume = true
				mustRun(t, dir, test.rows, p)
				if !same(tree(t, dir), tree(t, undisturbed)) {
					t.Errorf("not the files of an undisturbed run:\n%s", paths(tree(t, dir)))
				}
			})
		}
	}
}

// ZMap ended well, but the disk was full before all of its rows were on it: the scan is not complete.
func TestFullDiskAtTheEnd(t *testing.T) {
	folder := filepath.Join(smallDisk(t, "256k"), "scan")
	p, known := liveParams()
	live, err := BeginLive(folder, p)
	if err != nil {
		t.Fatal(err)
	}
	// Less than the spool's queue, so that all of it is read.
	if _, err := live.ReadFrom(bytes.NewReader(generate(20_000))); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	known.Complete, known.Finished = true, start
	if err := live.End(known); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	d, err := dataset.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := IngestLive(t.Context(), d, folder, nil)
	if err != nil || s.Complete || s.Kept == 0 || s.Kept == 20_000 {
		t.Errorf("%+v, %v", s, err)
	}
}
