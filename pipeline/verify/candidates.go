package verify

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/netip"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// NewestDate is the newest date on which there is a scan of a family, port and probe; not ok if there is
// none.
func NewestDate(ctx context.Context, db *sql.DB, family string, port uint16, probe string) (date string, ok bool, err error) {
	return newest(ctx, db, "SELECT max(date) FROM scans WHERE family = ? AND port = ? AND probe = ?", family, port, probe)
}

// NewestPotential is the newest date on which all scans of a family, port and probe are complete, and some
// target is potential; not ok if there is none.
func NewestPotential(ctx context.Context, db *sql.DB, family string, port uint16, probe string) (date string, ok bool, err error) {
	return newest(ctx, db, `
		SELECT max(date) FROM (
			SELECT date, family, port, probe FROM scans WHERE family = ? AND port = ? AND probe = ?
			GROUP BY ALL HAVING bool_and(coalesce(complete, false)))
		SEMI JOIN (FROM hosts WHERE verdict = 'potential') USING (date, family, port, probe)`, family, port, probe)
}

func newest(ctx context.Context, db *sql.DB, query string, arguments ...any) (string, bool, error) {
	var date sql.NullString
	err := db.QueryRowContext(ctx, query, arguments...).Scan(&date)
	return date.String, date.Valid, err
}

// WritePotential writes the potential targets of a partition as a hitlist.
func WritePotential(ctx context.Context, db *sql.DB, p dataset.Partition, out io.Writer) error {
	rows, err := db.QueryContext(ctx, `
		SELECT DISTINCT target FROM hosts
		WHERE verdict = 'potential' AND date = ? AND family = ? AND port = ? AND probe = ?`,
		p.Date, p.Family, p.Port, p.Probe)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var target string
		if err := rows.Scan(&target); err != nil {
			return err
		}
		if _, err := netip.ParseAddr(target); err != nil {
			return fmt.Errorf("hosts has the target %q, which is no address", target)
		}
		if _, err := fmt.Fprintln(out, target); err != nil {
			return err
		}
	}
	return rows.Err()
}
