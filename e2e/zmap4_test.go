package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// TestZMap4 scans with a ZMap 4 that was built with the module, whose path is in ZMAP4, and with the stock
// one: both find the same of every target.
func TestZMap4(t *testing.T) {
	zmap4 := os.Getenv("ZMAP4")
	if zmap4 == "" {
		t.Skip("ZMAP4 names no ZMap 4 built with the module (zmap-module/zmap4)")
	}
	l := labUp(t)
	h := l.sparse(t, 4, 1024)
	for name, c := range map[string]struct{ targets []string }{
		"IPv6":              {[]string{"--targets", h.path}},
		"IPv4":              {[]string{"198.18.7.0/24", "198.18.8.0/24"}},
		"interface by name": {[]string{"--interface", "scan6", "--targets", h.path}},
	} {
		t.Run(name, func(t *testing.T) {
			census := filepath.Join(t.TempDir(), "census")
			mustRun(t, mpcensus, l.scan(census, "443", "v1", c.targets...)...)
			mustRun(t, mpcensus, l.scan(census, "443", "v1", append([]string{"--zmap", zmap4}, c.targets...)...)...)
			db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var versions, different, targets uint64
			var counted bool
			// Keys are random at each scan.
			err = db.QueryRow(`
				WITH seen AS (
					SELECT zmap_version, saddr, classification, mptcp, mptcp_version, mptcp_length, echo, option_order, ttl, replies.window, success
					FROM replies JOIN scans USING (scan_id) WHERE NOT repeat
				)
				SELECT (SELECT count(DISTINCT zmap_version) FROM scans),
				       (SELECT count(*) FROM (SELECT * EXCLUDE zmap_version FROM seen GROUP BY ALL HAVING count(DISTINCT zmap_version) <> 2)),
				       (SELECT count(DISTINCT saddr) FROM seen),
				       (SELECT bool_and(complete AND targets = probes_sent AND send_failures = 0 AND rows_rejected = 0
				        AND received - invalid = rows_kept AND kernel_drops = 0) FROM scans)`).
				Scan(&versions, &different, &targets, &counted)
			if err != nil {
				t.Fatal(err)
			}
			if versions != 2 || different != 0 || targets < 100 || !counted {
				t.Errorf("%d versions, %d of %d targets seen differently, counts right: %v", versions, different, targets, counted)
			}
		})
	}
}
