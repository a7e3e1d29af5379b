package verify

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

func TestCandidates(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	check := func(newest, potential string) {
		t.Helper()
		db := open(t, dir)
		for query, want := range map[string]string{"newest": newest, "potential": potential} {
			ask := NewestDate
			if query == "potential" {
				ask = NewestPotential
			}
			got, ok, err := ask(ctx, db, dataset.IPv4, 443, "v1")
			if err != nil || got != want || ok != (want != "") {
				t.Errorf("%s: got %q, %v, %v, want %q", query, got, ok, err, want)
			}
		}
	}
	scan := func(date, id string, complete bool, verdicts string) {
		folder := "date=" + date + "/family=ipv4/port=443/probe=v1"
		write(t, dir, dataset.ScansTable, folder, id, fmt.Sprintf("SELECT '%s' AS scan_id, %v AS complete", id, complete))
		if verdicts != "" {
			write(t, dir, dataset.HostsTable, folder, id, "SELECT '"+id+"' AS scan_id, * FROM (VALUES "+verdicts+") AS v(target, verdict)")
		}
	}
	check("", "")
	scan("2026-11-01", "a", true, "('198.18.0.1', 'potential'), ('198.18.0.2', 'mirrored')")
	scan("2026-11-01", "b", true, "('198.18.0.1', 'potential'), ('198.18.0.3', 'potential')") // another shard, or again
	check("2026-11-01", "2026-11-01")
	scan("2026-11-02", "c", true, "('198.18.0.4', 'no-mptcp')")
	scan("2026-11-03", "d", true, "('198.18.0.5', 'potential')")
	scan("2026-11-03", "e", false, "('198.18.0.6', 'potential')") // a shard that broke off
	scan("2026-11-04", "f", true, "")                             // not classified
	check("2026-11-04", "2026-11-01")

	var list bytes.Buffer
	must(t, WritePotential(ctx, open(t, dir), dataset.Partition{Date: "2026-11-01", Family: "ipv4", Port: 443, Probe: "v1"}, &list))
	got := strings.Fields(list.String())
	slices.Sort(got)
	if want := []string{"198.18.0.1", "198.18.0.3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
