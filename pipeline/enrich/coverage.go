package enrich

import (
	"context"
	"database/sql"
)

// Coverage is how many rows of the table hosts have an AS, and how many a country.
type Coverage struct {
	Family                string
	Hosts, ASN, Countries uint64
}

// Covered counts the hosts with AS and country, by family. The database is that of [dataset.OpenDuckDB].
func Covered(ctx context.Context, db *sql.DB) ([]Coverage, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT family, count(*), count(asn), count(country) FROM hosts GROUP BY family ORDER BY family`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Coverage
	for rows.Next() {
		var c Coverage
		if err := rows.Scan(&c.Family, &c.Hosts, &c.ASN, &c.Countries); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}
