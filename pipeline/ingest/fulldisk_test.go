package ingest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
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

// fillDisk takes all room that is left.
func fillDisk(t *testing.T, dir string) {
	file, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Error(err)
		return
	}
	defer file.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		n, err := file.Write(block)
		if err != nil {
			block = block[:min(len(block)/2, len(block)-n)]
		}
	}
}

// repeated is an endless input.
type repeated struct {
	lines []byte
	next  int
	then  func() // called once, after some input
	after int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.lines[r.next:])
	r.next = (r.next + n) % len(r.lines)
	if r.after -= n; r.after < 0 && r.then != nil {
		r.then()
		r.then = nil
	}
	return n, nil
}

// When the disk is full, every line that was read is in the dataset.
func TestFullDisk(t *testing.T) {
	rows := generate(30_000)
	junk := bytes.Repeat([]byte("\x00 not a row, and not short either\n"), 100)
	for _, format := range []dataset.Format{dataset.Parquet, dataset.Arrow} {
		for _, test := range []struct {
			name  string
			lines []byte
			fill  int // bytes of input after which somebody else fills the disk; 0: never
		}{
			{"by replies", rows, 0},
			{"by rejects", append(rows[:bytes.IndexByte(rows, '\n')+1:bytes.IndexByte(rows, '\n')+1], junk...), 0},
			{"by another program, soon", rows, 1},
			{"by another program, later", rows, 8 << 20},
		} {
			t.Run(string(format)+" "+test.name, func(t *testing.T) {
				dir := smallDisk(t, "24m")
				input := &repeated{lines: test.lines, after: test.fill}
				if test.fill > 0 {
					input.then = func() { fillDisk(t, dir) }
				}
				p := params(dir)
				p.Format = format
				s, err := Run(t.Context(), input, p)
				if !errors.Is(err, unix.ENOSPC) {
					t.Fatalf("got %+v, %v", s, err)
				}
				if s.Kept == 0 || s.Complete || s.Read != s.Kept+s.Rejected || s.ScanID == "" {
					t.Fatalf("got %+v", s)
				}
				t.Logf("%v; read %d", err, s.Read)
				if format == dataset.Parquet {
					if n := query[uint64](t, dir, "SELECT count(*) FROM replies"); n != s.Kept {
						t.Errorf("%d replies, kept %d", n, s.Kept)
					}
					if !query[bool](t, dir, "SELECT NOT complete FROM scans") {
						t.Error("said to be complete")
					}
				}
				if s.Rejected > 0 {
					file, err := os.ReadFile(s.Rejects)
					if n := uint64(bytes.Count(file, []byte("\n"))); n != s.Rejected {
						t.Errorf("%d rejects, counted %d: %v", n, s.Rejected, err)
					}
				}
			})
		}
	}
}

// A disk without room for a scan is an error before anything is read.
func TestNoRoomAtAll(t *testing.T) {
	dir := smallDisk(t, "64k")
	rows := bytes.NewReader(generate(10))
	size := rows.Len()
	if _, err := Run(t.Context(), rows, params(dir)); !errors.Is(err, unix.ENOSPC) || rows.Len() != size {
		t.Errorf("got %v, %d of %d bytes left", err, rows.Len(), size)
	}
	if files := tree(t, dir); len(files) != 0 {
		t.Errorf("left:\n%s", paths(files))
	}
}
