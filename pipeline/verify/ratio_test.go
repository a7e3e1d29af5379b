package verify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// TestMedianInterval: ranks of the 95 % interval from Conover's Table A3 (binomial, p = 1/2).
func TestMedianInterval(t *testing.T) {
	for _, c := range []struct{ n, rank int }{{5, 0}, {6, 1}, {8, 1}, {9, 2}, {10, 2}, {15, 4}, {20, 6}, {30, 10}, {50, 18}} {
		values := make([]float64, c.n)
		for i := range values {
			values[i] = float64(i + 1)
		}
		rand.Shuffle(c.n, func(i, j int) { values[i], values[j] = values[j], values[i] })
		median, low, high := MedianInterval(values, 0.95)
		if want := float64(c.n+1) / 2; median != want {
			t.Errorf("n %d: median %v, want %v", c.n, median, want)
		}
		if c.rank == 0 {
			if !math.IsNaN(low) || !math.IsNaN(high) {
				t.Errorf("n %d: interval %v–%v of too few values", c.n, low, high)
			}
		} else if low != float64(c.rank) || high != float64(c.n+1-c.rank) {
			t.Errorf("n %d: interval %v–%v, want %d–%d", c.n, low, high, c.rank, c.n+1-c.rank)
		}
	}
	if median, low, _ := MedianInterval(nil, 0.95); !math.IsNaN(median) || !math.IsNaN(low) {
		t.Errorf("of nothing: %v, %v", median, low)
	}
}

// write makes a Parquet file of a query, where the dataset has it.
func write(t *testing.T, dir, table, partition, name, query string) {
	t.Helper()
	folder := filepath.Join(dir, table, partition)
	must(t, os.MkdirAll(folder, 0o777))
	must(t, dataset.WriteParquet(context.Background(), open(t, dir), query, filepath.Join(folder, name+".parquet")))
}

const partition = "date=2026-11-24/family=ipv4/port=80/probe=v1"

// writeGrabs makes a verification with the given rows of grabs.
func writeGrabs(t *testing.T, rows string) string {
	dir := t.TempDir()
	write(t, dir, dataset.GrabsTable, partition, "V", "SELECT 'V' AS verification_id, 'http' AS protocol, * FROM ("+rows+")")
	write(t, dir, dataset.VerificationsTable, partition, "V",
		"SELECT 'V' AS verification_id, [{path: 'grabs/"+partition+"/V.parquet', rows: 1, bytes: 1, sha256: ''}] AS files")
	return dir
}

func TestRatios(t *testing.T) {
	// Eight targets with ratios 1 to 8 of the medians, whatever the first round says; what failed does not count.
	dir := writeGrabs(t, `
		SELECT 'a' || t AS target, transport, r AS round, 'ok' AS outcome,
			CASE WHEN transport = 'tcp' THEN 100 WHEN r = 1 THEN 1000000 ELSE 100 * t END AS connect_us,
			NULL AS first_byte_us, 7 AS total_us
		FROM range(1, 9) AS a(t), range(1, 4) AS b(r), (VALUES ('mptcp'), ('tcp')) AS c(transport)
		WHERE NOT (r = 1 AND transport = 'mptcp' AND t > 8)
		UNION ALL SELECT 'failed', 'mptcp', 1, 'timeout', 1, 1, 1
		UNION ALL SELECT 'failed', 'tcp', 1, 'ok', 1, 1, 1`)
	ratios, err := Ratios(context.Background(), open(t, dir), "grabs WHERE verification_id = 'V'")
	must(t, err)
	want := "[{connect 8 4.5 1 8} {first byte 0 NaN NaN NaN} {total 8 1 1 1}]"
	if got := fmt.Sprint(ratios); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSummarize(t *testing.T) {
	dir := writeGrabs(t, `
		SELECT * FROM (VALUES
			('proven', 'mptcp', true, NULL, 1, 'ok'), ('proven', 'mptcp', false, 'at-connect', 1, 'ok'),
			('after', 'mptcp', false, 'after-connect', 1, 'ok'), ('after', 'mptcp', false, 'at-connect', 1, 'ok'),
			('at', 'mptcp', false, 'at-connect', 1, 'ok'),
			('silent', 'mptcp', NULL, NULL, 1, 'timeout'), ('tcp-only', 'tcp', NULL, NULL, 1, 'ok'), ('tcp-only', 'mptcp', NULL, NULL, NULL, 'refused'),
			('gone', 'mptcp', NULL, NULL, NULL, 'connect-timeout'), ('gone', 'tcp', NULL, NULL, NULL, 'skipped'),
			('skipped', 'mptcp', NULL, NULL, NULL, 'skipped'))
		AS v(target, transport, mptcp_after_data, fallback, connect_us, outcome)`)
	got, err := Summarize(context.Background(), open(t, dir), "V")
	must(t, err)
	want := Summary{Targets: 7, Proven: 1, AfterConnect: 1, AtConnect: 1, NoResponse: 2, Unreachable: 1, Skipped: 1}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
