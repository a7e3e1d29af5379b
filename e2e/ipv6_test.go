package e2e

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// hitlist is some of the lab's IPv6 targets, and what is true of them.
type hitlist struct {
	path  string
	truth string // Parquet file of the lab's truth
	lines []string
}

// sparse takes every n-th address of the lab's IPv6 targets, so that most of what is alive there is not
// on the list.
func (l lab) sparse(t *testing.T, n, count int) hitlist {
	t.Helper()
	dir := t.TempDir()
	all := filepath.Join(dir, "all.txt")
	mustRun(t, mpcensus, "lab", "hitlist", "--out", all)
	text, err := os.ReadFile(all)
	if err != nil {
		t.Fatal(err)
	}
	h := hitlist{path: filepath.Join(dir, "hitlist.txt"), truth: filepath.Join(dir, "truth.parquet")}
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if i%n == 0 && len(h.lines) < count {
			h.lines = append(h.lines, line)
		}
	}
	if len(h.lines) != count {
		t.Fatalf("the lab has too few IPv6 targets for %d of them", count)
	}
	h.write(t)
	mustRun(t, mpcensus, "lab", "truth", "--out", h.truth)
	return h
}

func (h hitlist) write(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(h.path, []byte(strings.Join(h.lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// coverage compares the replies of a dataset with the truth about the listed targets.
type coverage struct {
	answering uint64 // listed targets that answer
	missing   uint64 // of these, without a row
	twice     uint64 // of these, with more rows than they sent replies
	unlisted  uint64 // rows of other addresses
}

func (h hitlist) coverage(t *testing.T, census, port, probe string) coverage {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var c coverage
	err = db.QueryRow(`
		WITH listed AS (SELECT column0 AS target FROM read_csv($1, header = false, delim = ' ', columns = {'column0': 'VARCHAR'})),
		answering AS (
			SELECT target, replies FROM read_parquet($2) SEMI JOIN listed USING (target)
			WHERE port = $3 AND probe = $4 AND verdict IS NOT NULL
		),
		found AS (SELECT saddr AS target, count(*) AS rows FROM replies GROUP BY ALL)
		SELECT (SELECT count(*) FROM answering),
		       (SELECT count(*) FROM answering ANTI JOIN found USING (target)),
		       (SELECT count(*) FROM answering JOIN found USING (target) WHERE rows > answering.replies),
		       (SELECT count(*) FROM found ANTI JOIN listed USING (target))`,
		h.path, h.truth, port, probe).Scan(&c.answering, &c.missing, &c.twice, &c.unlisted)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c coverage) check(t *testing.T, atLeast uint64) {
	t.Helper()
	if c.answering < atLeast || c.missing != 0 || c.twice != 0 || c.unlisted != 0 {
		t.Errorf("%+v: want at least %d that answer, and each of them once", c, atLeast)
	}
}

// TestIPv6Coverage scans 4,096 sparse IPv6 targets at 20,000 probes a second: every one that answers is
// found once, and no other address is heard of.
func TestIPv6Coverage(t *testing.T) {
	l := labUp(t)
	h := l.sparse(t, 4, 4096)
	built := filepath.Join(t.TempDir(), "hitlist.targets")
	mustRun(t, mpcensus, "targets", "build", "--out", built, "--blocklist", filepath.Join(l.dir, "blocklist.conf"), h.path)

	for name, c := range map[string]struct {
		args   []string
		shards int
	}{
		"text list":              {[]string{"--targets", h.path}, 1},
		"target file":            {[]string{"--targets", built}, 1},
		"3 shards":               {[]string{"--targets", built, "--seed", "11"}, 3},
		"interface without IPv4": {[]string{"--targets", built, "--interface", "scan6"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			census := filepath.Join(t.TempDir(), "census")
			for shard := range c.shards {
				args := append(slices.Clone(c.args), "--rate", "20000",
					"--shards", strconv.Itoa(c.shards), "--shard", strconv.Itoa(shard))
				mustRun(t, mpcensus, l.scan(census, "443", "v1", args...)...)
			}
			// About half of the population answers.
			h.coverage(t, census, "443", "v1").check(t, 1500)
			checkCounts(t, census, 4096)
		})
	}
}

// checkCounts checks what the scans of a dataset count against each other and against their rows.
func checkCounts(t *testing.T, census string, targets uint64) {
	t.Helper()
	db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var sent, failures, received, invalid, kernel, link, duplicates, cooldown, rows, repeats, late sql.Null[uint64]
	err = db.QueryRow(`
		SELECT sum(probes_sent)::UBIGINT, sum(send_failures)::UBIGINT, sum(received)::UBIGINT, sum(invalid)::UBIGINT,
		       sum(kernel_drops)::UBIGINT, sum(interface_drops)::UBIGINT,
		       sum(duplicates)::UBIGINT, sum(answered_in_cooldown)::UBIGINT,
		       (SELECT count(*)::UBIGINT FROM replies),
		       (SELECT count(*)::UBIGINT FROM replies WHERE repeat AND success),
		       (SELECT count(*)::UBIGINT FROM replies WHERE cooldown AND success AND NOT repeat)
		FROM scans`).
		Scan(&sent, &failures, &received, &invalid, &kernel, &link, &duplicates, &cooldown, &rows, &repeats, &late)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want sql.Null[uint64] }{
		"probes_sent":          {sent, sql.Null[uint64]{V: targets, Valid: true}},
		"send_failures":        {failures, sql.Null[uint64]{Valid: true}},
		"received - invalid":   {sql.Null[uint64]{V: received.V - invalid.V, Valid: received.Valid && invalid.Valid}, rows},
		"kernel_drops":         {kernel, sql.Null[uint64]{Valid: true}},
		"interface_drops":      {link, sql.Null[uint64]{Valid: true}},
		"duplicates":           {duplicates, repeats},
		"answered_in_cooldown": {cooldown, late},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v, want %+v", name, c.got, c.want)
		}
	}
}

// TestIPv6SmallLists scans lists at the edges of ZMap's smallest group (257 elements) with twenty seeds
// each: ZMap 2.1.1 by itself aborts with about one seed in 257 there.
func TestIPv6SmallLists(t *testing.T) {
	l := labUp(t)
	h := l.sparse(t, 1, 16384)
	db, err := dataset.OpenDuckDB(t.Context(), t.TempDir(), dataset.DuckDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT target FROM read_parquet($1)
		WHERE family = 'ipv6' AND port = 443 AND probe = 'plain' AND behaviour = 'tcp' ORDER BY target LIMIT 257`, h.truth)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var answering []string
	for rows.Next() {
		var target string
		if err := rows.Scan(&target); err != nil {
			t.Fatal(err)
		}
		answering = append(answering, target)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(answering) != 257 {
		t.Fatalf("%d plain TCP hosts, want 257", len(answering))
	}

	for _, size := range []int{1, 255, 256, 257} {
		list := h
		list.path, list.lines = filepath.Join(t.TempDir(), "hitlist.txt"), answering[:size]
		list.write(t)
		for seed := 1; seed <= 20; seed++ {
			t.Run(fmt.Sprintf("%d targets, seed %d", size, seed), func(t *testing.T) {
				// Scans at the same time see each other's replies, which are none of theirs.
				t.Parallel()
				census := filepath.Join(t.TempDir(), "census")
				mustRun(t, mpcensus, l.scan(census, "443", "plain", "--rate", "5000", "--targets", list.path, "--seed", strconv.Itoa(seed))...)
				if c := list.coverage(t, census, "443", "plain"); c != (coverage{answering: uint64(size)}) {
					t.Errorf("%+v: want every target once", c)
				}
			})
		}
	}
}
