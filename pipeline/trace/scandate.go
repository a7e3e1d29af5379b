package trace

import (
	"context"
	"database/sql"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// ScanDate is the newest date of a scan that runs of one family and port can follow up, none being after their first
// answer; not ok if there is none. The scan of a control is that of the probe beside it. The database is one of
// dataset.OpenDuckDB.
func ScanDate(ctx context.Context, db *sql.DB, kinds []Kind, earliest time.Time) (date string, ok bool, err error) {
	latest := "9999"
	if !earliest.IsZero() {
		latest = earliest.UTC().Format(time.DateOnly)
	}
	for _, kind := range kinds {
		if kind.Probe == zmap.ProbePlain && len(kinds) > 1 {
			continue
		}
		var newest sql.NullString
		err := db.QueryRowContext(ctx, "SELECT max(date) FROM scans WHERE family = ? AND port = ? AND probe = ? AND date <= ?",
			kind.Family, kind.Port, kind.Probe, latest).Scan(&newest)
		if err != nil {
			return "", false, err
		}
		date = max(date, newest.String)
	}
	return date, date != "", nil
}
