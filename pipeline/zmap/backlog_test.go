package zmap

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
)

func TestBacklogDrops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "softnet_stat")
	read := func(text string) backlogDrops {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		drops, err := readBacklogDrops(path)
		if (err == nil) != (drops != nil) {
			t.Fatalf("%q: %v, %v", text, drops, err)
		}
		return drops
	}
	// Lines as Linux 6.18 prints them.
	const rest = " 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n"
	before := read("0004b1a2 ffffffff" + rest + "0003c001 00000010" + rest)
	known := func(n uint64) sql.Null[uint64] { return sql.Null[uint64]{V: n, Valid: true} }
	for _, c := range []struct {
		text string
		want sql.Null[uint64]
	}{
		{"0004b1a2 ffffffff" + rest + "0003c001 00000010" + rest, known(0)},
		{"0004b1a2 00000002" + rest + "0003c001 0000001a" + rest, known(3 + 10)}, // one has wrapped
		{"0004b1a2 ffffffff" + rest, sql.Null[uint64]{}},                         // a processor has gone
		{"", sql.Null[uint64]{}},
		{"0004b1a2\n0003c001\n", sql.Null[uint64]{}},
		{"0004b1a2 100000000\n0003c001 0\n", sql.Null[uint64]{}},
		{"cpu drops\ncpu drops\n", sql.Null[uint64]{}},
	} {
		if got := read(c.text).since(before); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.text, got, c.want)
		}
	}
	if now, err := readBacklogDrops(softnetStat); err != nil || now.since(now) != known(0) {
		t.Errorf("this machine's: %v, %v", now, err)
	}
}
