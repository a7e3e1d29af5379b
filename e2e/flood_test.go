package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// Of ten targets one is a forger, which sends 64 packets for a SYN: 25 forged ones for each genuine reply.
const floodScenario = `
seed: 7
ranges: [198.18.0.0/18]
ipv6: {addresses: 16384}
ports: [443]
behaviours: {tcp: 0.2, true-v0: 0.05, forger: 0.1}
`

// TestFlood scans a population with forgers, which answer each SYN with SYN-ACKs that have the right
// ports and the wrong state: none becomes a row, each is counted, and every genuine reply arrives.
func TestFlood(t *testing.T) {
	dir := t.TempDir()
	flood, hitlist, truth := filepath.Join(dir, "flood.yaml"), filepath.Join(dir, "hitlist.txt"), filepath.Join(dir, "truth.parquet")
	if err := os.WriteFile(flood, []byte(floodScenario), 0o644); err != nil {
		t.Fatal(err)
	}
	l := labUp(t, "--scenario", flood)
	mustRun(t, mpcensus, "lab", "truth", "--scenario", flood, "--out", truth)
	mustRun(t, mpcensus, "lab", "hitlist", "--scenario", flood, "--out", hitlist)
	for family, targets := range map[string][]string{
		"ipv4": {"198.18.0.0/18", "198.19.0.1", "198.19.0.2", "198.19.0.3", "198.19.0.4"},
		"ipv6": {"--targets", hitlist},
	} {
		t.Run(family, func(t *testing.T) {
			census := filepath.Join(dir, family)
			// 64,000 forged packets a second.
			mustRun(t, mpcensus, l.scan(census, "443", "v0", append([]string{"--rate", "10000"}, targets...)...)...)
			db, err := dataset.OpenDuckDB(t.Context(), census, dataset.DuckDBOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var forgers, answering, wrong, rows, received, invalid, dropped uint64
			err = db.QueryRow(`
				WITH truth AS (
					SELECT target, behaviour, coalesce(treatment = 'supports' AND behaviour = 'true-v0', false) AS speaks, verdict IS NOT NULL AS answers
					FROM read_parquet($1) WHERE family = $2 AND port = 443 AND probe = 'v0'
				)
				SELECT (SELECT count(*) FROM truth WHERE behaviour = 'forger'),
				       (SELECT count(*) FROM truth WHERE answers),
				       (SELECT count(*) FROM replies LEFT JOIN truth ON saddr = target
				        WHERE answers IS NOT true OR speaks <> (mptcp = 'capable')),
				       (SELECT count(*) FROM replies), received, invalid, kernel_drops + interface_drops + backlog_drops FROM scans`, truth, family).
				Scan(&forgers, &answering, &wrong, &rows, &received, &invalid, &dropped)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d forgers, %d invalid packets, %d rows, %d dropped", forgers, invalid, rows, dropped)
			if wrong != 0 || received != rows+invalid {
				t.Errorf("%d rows are forged; %d rows and %d invalid packets, %d received", wrong, rows, invalid, received)
			}
			if forged := 64 * forgers; forgers != 1638 || invalid > forged || invalid+dropped < forged {
				t.Errorf("%d packets of %d forgers are counted as invalid, %d were dropped", invalid, forgers, dropped)
			}
			// A machine that is busy with other things may lose some, but not unseen.
			if rows > answering || rows+dropped < answering || 100*rows < 99*answering {
				t.Errorf("%d rows of %d targets that answer; %d packets dropped", rows, answering, dropped)
			}
		})
	}
}
