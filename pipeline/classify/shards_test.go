package classify

import (
	"fmt"
	"slices"
	"testing"
)

// The scans of one shard make a campaign of their own: it is they that have probed the same targets. Where
// nothing or one shard is named, all scans belong together, whatever their seeds.
func TestCampaignsInShards(t *testing.T) {
	db := open(t, t.TempDir())
	exec(t, db, `CREATE OR REPLACE TEMP VIEW scans AS
		SELECT campaign, 'ipv4' AS family, 443 AS port, scan_id, '2026-11-23' AS date, probe, true AS complete, seed::UBIGINT AS seed,
			arguments AS zmap_arguments, 0 AS send_failures, 0 AS kernel_drops, 0 AS interface_drops, 0 AS backlog_drops
		FROM (VALUES
			('c', 'a', 'plain', 42, ['zmap', '--shards=2', '--shard=0', '--seed=42']),
			('c', 'b', 'v1', 42, ['zmap', '--shards=2', '--shard=0', '--seed=42']),
			('c', 'c', 'plain', 42, ['zmap', '--shards=2', '--shard=1', '--seed=42']),
			('c', 'd', 'v1', 42, ['zmap', '--shards=2', '--shard=1', '--seed=42']),
			('c', 'e', 'v1', 43, ['zmap', '--shards=2', '--shard=1', '--seed=43']),
			('d', 'f', 'plain', 1, ['zmap', '--shards=1', '--shard=0', '--seed=1']),
			('d', 'g', 'v1', 2, ['zmap', '--shards=1', '--shard=0', '--seed=2']),
			('e', 'h', 'plain', NULL, NULL),
			('e', 'i', 'v1', NULL, NULL),
			(NULL, 'j', 'v1', 1, ['zmap', '--shards=1'])
		) t(campaign, scan_id, probe, seed, arguments)`)
	campaigns, err := Campaigns(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range campaigns {
		text := fmt.Sprintf("%s %q:", c.ID, c.Shard)
		for _, s := range c.scans {
			text += " " + s.ID
		}
		got = append(got, text)
	}
	want := []string{`c "0 of 2": a b`, `c "1 of 2": c d`, `c "1 of 2": e`, `d "": f g`, `e "": h i`}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
