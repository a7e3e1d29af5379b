package main

import (
	"context"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// readHosts decodes each column of the table hosts that a report needs, once.
func readHosts(ctx context.Context, dir string) error {
	db, err := dataset.OpenDuckDB(ctx, dir, dataset.DuckDBOptions{})
	if err != nil {
		return err
	}
	defer db.Close()
	var n [11]int64
	return db.QueryRowContext(ctx, `
		SELECT count(scan_id), sum(strlen(target))::BIGINT, count(verdict), sum(len(reasons))::BIGINT, count(sender_key),
		       count(key_weight), count(key_distance), count(excess_probability), sum(replies)::BIGINT, count(option_order),
		       count(asn) + count(as_name) + count(country)
		FROM hosts`).Scan(&n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9], &n[10])
}
