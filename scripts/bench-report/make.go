package main

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// The dataset: twelve months of two families, two ports and two probes, half a million hosts each.
const (
	months       = 12
	hostsPerScan = 500_000
	// Of the hosts of a family and port, 60 % are always there and half of the others.
	population = hostsPerScan * 10 / 8
)

var (
	//go:embed population.sql
	populationSQL string
	//go:embed hosts.sql
	hostsSQL string
)

// makeDataset writes the tables hosts and scans into the folder dir, with this share of potential hosts.
func makeDataset(ctx context.Context, dir string, potential float64) error {
	empty, err := os.MkdirTemp(dir, "empty-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(empty)
	db, err := dataset.OpenDuckDB(ctx, empty, dataset.DuckDBOptions{TempDir: dir})
	if err != nil {
		return err
	}
	defer db.Close()

	for _, family := range []string{dataset.IPv4, dataset.IPv6} {
		variables := fmt.Sprintf("SET VARIABLE hosts = %d; SET VARIABLE ipv6 = %t; SET VARIABLE potential = %g;",
			population, family == dataset.IPv6, potential)
		if _, err := db.ExecContext(ctx, variables+populationSQL); err != nil {
			return err
		}
		for month := range months {
			for _, port := range []uint16{80, 443} {
				for _, probe := range []string{"v0", "v1"} {
					date := time.Date(2025, time.November, 15, 8, 0, 0, 0, time.UTC).AddDate(0, month, 0)
					p := dataset.Partition{Date: date.Format(time.DateOnly), Family: family, Port: port, Probe: probe}
					if err := makeScan(ctx, db, dir, dataset.ScanKey{ID: p.ScanID(date), Partition: p}); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// makeScan writes the hosts of a scan, and its row in scans.
func makeScan(ctx context.Context, db *sql.DB, dir string, scan dataset.ScanKey) error {
	variables := fmt.Sprintf("SET VARIABLE scan_id = %s; SET VARIABLE probe = %s; SET VARIABLE month = %s;",
		dataset.Literal(scan.ID), dataset.Literal(scan.Probe), dataset.Literal(scan.Date[:7]))
	if _, err := db.ExecContext(ctx, variables); err != nil {
		return err
	}
	write := func(table, query string) (path string, err error) {
		path = scan.Path(dir, table, scan.ID, dataset.Parquet)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		return path, dataset.WriteParquet(ctx, db, "SELECT * EXCLUDE (date, family, port, probe) FROM ("+query+")", path)
	}
	hosts, err := write(dataset.HostsTable, hostsSQL)
	if err != nil {
		return err
	}
	_, err = write(dataset.ScansTable, fmt.Sprintf(`
		SELECT * FROM scans
		UNION ALL BY NAME
		SELECT %s AS scan_id, true AS complete, 'bench-report' AS tool_version, '-' AS input, '' AS input_xxh3,
		       count(*)::UBIGINT AS rows_read, count(*)::UBIGINT AS rows_kept, 0::UBIGINT AS rows_rejected, [] AS files
		FROM read_parquet(%s)`, dataset.Literal(scan.ID), dataset.Literal(hosts)))
	return err
}
