package verify

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// TestLeftovers: the next run removes what killed ones left, and neither what others are at work on nor what
// is listed.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	const folder = "date=2026-11-24/family=ipv4/port=80/probe=v1"
	touch := func(parts ...string) string {
		name := filepath.Join(append([]string{dir}, parts...)...)
		must(t, os.MkdirAll(filepath.Dir(name), 0o777))
		must(t, os.WriteFile(name, nil, 0o666))
		return name
	}
	grabs := func(id string) string { return touch(dataset.GrabsTable, folder, id+".parquet") }
	dead := []string{touch("unfinished", "verify-dead", "lock"), touch("unfinished", "verify-dead", spoolFile), grabs("dead"),
		touch("unfinished", "verify-deaf", "lock")}
	kept := []string{
		grabs("listed"), touch(dataset.VerificationsTable, folder, "listed.parquet"),
		grabs("living"), touch("unfinished", "trace-dead", "lock"),
	}
	touch("unfinished", "verify-listed", "lock") // killed when all was done
	_, end, err := begin(ctx, dir, "living")
	must(t, err)
	for _, name := range dead {
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, endOther, err := begin(ctx, dir, "other") // while the first is at work
	must(t, err)
	must(t, endOther())
	for _, name := range kept {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	must(t, end()) // before it listed its file
	if _, err := os.Stat(kept[2]); !os.IsNotExist(err) {
		t.Errorf("%s: %v", kept[2], err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "unfinished")); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}
