package enrich

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Gaps says which families of the dataset's hosts no source covers that gives AS numbers, or countries; of
// a kind that no source gives it says nothing. It is an error when sources of a kind cover no family of the
// dataset: they are for another one. The database is that of [dataset.OpenDuckDB].
func Gaps(ctx context.Context, db *sql.DB, sources []*Source) ([]string, error) {
	families, err := familiesOf(ctx, db)
	if err != nil {
		return nil, err
	}
	var gaps []string
	for _, kind := range []Kind{ASN, Country} {
		named, missing := uncovered(families, kind, sources)
		if len(named) == 0 || len(missing) == 0 {
			continue
		}
		if len(missing) == len(families) {
			return nil, fmt.Errorf("%s has no addresses of %s, and the dataset has no other hosts: name a file of that family with --%s",
				strings.Join(named, ", "), strings.Join(missing, ", "), kind)
		}
		gaps = append(gaps, fmt.Sprintf("no %s data for %s: hosts of that family get none", kind, strings.Join(missing, ", ")))
	}
	return gaps, nil
}

// uncovered are the names of the sources of a kind, and the families of which none has addresses.
func uncovered(families []string, kind Kind, sources []*Source) (named, missing []string) {
	covered := make(map[string]bool)
	for _, s := range sources {
		if s.Gives != kind {
			continue
		}
		named = append(named, s.Name)
		for _, family := range families {
			covered[family] = covered[family] || s.Covers(family)
		}
	}
	for _, family := range families {
		if !covered[family] {
			missing = append(missing, family)
		}
	}
	return named, missing
}

// familiesOf are the families of the dataset's hosts.
func familiesOf(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT DISTINCT family FROM hosts ORDER BY family")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var families []string
	for rows.Next() {
		var family string
		if err := rows.Scan(&family); err != nil {
			return nil, err
		}
		families = append(families, family)
	}
	return families, rows.Err()
}
