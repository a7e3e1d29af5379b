package ingest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/spool"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func liveParams() (Params, Provenance) {
	begun := Provenance{Started: start, ZMapVersion: "4.4.0"}
	return Params{
		Format: dataset.Parquet, ToolVersion: "test", Provenance: &begun,
		Partition: dataset.Partition{Date: "2026-11-23", Family: dataset.IPv4, Port: 443, Probe: zmap.ProbeV0},
	}, begun
}

// A scan goes from its spool into the dataset once ZMap has ended, and not before; then the spool is gone.
func TestLive(t *testing.T) {
	dir := t.TempDir()
	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	unfinished, ok := d.LocalUnfinished()
	if !ok {
		t.Fatal("a local folder has no place for spools")
	}
	folder := filepath.Join(unfinished, "scan")
	p, known := liveParams()
	live, err := BeginLive(folder, p)
	if err != nil {
		t.Fatal(err)
	}
	known.ZMapArguments = []string{"zmap"}
	if err := live.Begun(known); err != nil {
		t.Fatal(err)
	}
	input := append(generate(100), "not json\n"...)
	if n, err := live.ReadFrom(bytes.NewReader(input)); err != nil || n != int64(len(input)) {
		t.Fatalf("%d of %d bytes, %v", n, len(input), err)
	}
	if _, err := IngestLive(t.Context(), d, folder, nil); !errors.Is(err, spool.ErrBusy) {
		t.Errorf("while the scan runs: %v", err)
	}
	if left, err := Unfinished(t.Context(), d); err != nil || len(left) != 0 {
		t.Errorf("a spool is not for Unfinished: %+v, %v", left, err)
	}
	known.Complete, known.Finished = true, start
	if err := live.End(known); err != nil {
		t.Fatal(err)
	}
	if folders, err := LiveFolders(unfinished); err != nil || len(folders) != 1 || folders[0] != folder {
		t.Errorf("spools %v, %v", folders, err)
	}
	s, err := IngestLive(t.Context(), d, folder, nil)
	if err != nil || s.Kept != 100 || s.Rejected != 1 || !s.Complete || s.Scan.ID != scanID {
		t.Errorf("%+v, %v", s, err)
	}
	for name := range tree(t, dir) {
		if strings.HasPrefix(name, "unfinished/") {
			t.Errorf("%s is left", name)
		}
	}
	if !query[bool](t, dir, "SELECT complete AND zmap_arguments = ['zmap'] AND input IS NULL AND rows_read = 101 FROM scans") {
		t.Error("scans is wrong")
	}
}

// Of a spool that the disk spoilt after the scan, what is in front of the damage is an incomplete scan.
func TestSpoiltSpool(t *testing.T) {
	dir := t.TempDir()
	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	unfinished, _ := d.LocalUnfinished()
	folder := filepath.Join(unfinished, "scan")
	p, known := liveParams()
	live, err := BeginLive(folder, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := live.ReadFrom(bytes.NewReader(generate(10_000))); err != nil { // some MiB: several frames
		t.Fatal(err)
	}
	known.Complete, known.Finished = true, start
	if err := live.End(known); err != nil {
		t.Fatal(err)
	}
	rows := filepath.Join(folder, rowsFile)
	content, err := os.ReadFile(rows)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-10] ^= 1
	if err := os.WriteFile(rows, content, 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := IngestLive(t.Context(), d, folder, nil)
	if err != nil || s.Complete || s.Kept == 0 || s.Kept >= 10_000 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A process dies at each point of removing a spool whose rows are in the dataset: the next ends that.
func TestHalfRemovedSpool(t *testing.T) {
	dir := t.TempDir()
	d, err := dataset.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for name, left := range map[string][]string{"only the folder": nil, "folder and rows": {rowsFile}} {
		folder := filepath.Join(dir, "unfinished", "scan")
		p, known := liveParams()
		live, err := BeginLive(folder, p)
		if err == nil {
			err = live.End(known)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{scanFile, rowsFile} {
			if !slices.Contains(left, file) {
				if err := os.Remove(filepath.Join(folder, file)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if s, err := IngestLive(t.Context(), d, folder, nil); err != nil || s.Scan.ID != "" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the spool is left: %v", name, err)
		}
	}
}

// A scan that ended before its first row leaves nothing; what others have in the dataset stays.
func TestDrop(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "census")
	p, _ := liveParams()
	begin := func(name string) *Live {
		t.Helper()
		live, err := BeginLive(filepath.Join(dir, "unfinished", name), p)
		if err != nil {
			t.Fatal(err)
		}
		return live
	}
	first, second := begin("first"), begin("second")
	if err := first.Drop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "unfinished", "second", rowsFile)); err != nil {
		t.Errorf("another scan's spool: %v", err)
	}
	if err := second.Drop(); err != nil {
		t.Error(err)
	}
	if err := begin("third").Drop(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err) // by the first, which did not know whether the second was done
	}

	alone := filepath.Join(t.TempDir(), "census")
	live, err := BeginLive(filepath.Join(alone, "unfinished", "scan"), p)
	if err == nil {
		err = live.Drop()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(alone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", alone, err)
	}
}
