package classify

import (
	"context"
	"database/sql"
	"errors"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/mpcensus/mpcensus/pipeline/keys"
)

// wholeScan is the name of the group of all keys of a scan.
const wholeScan = "the scan"

// testGroups tests the keys of each network that has enough of them, and those of the whole scan, and
// fills the table findings.
func (c *Classifier) testGroups(ctx context.Context) ([]keys.Finding, error) {
	rows, err := c.db.QueryContext(ctx, `
		SELECT name, sender_key
		FROM grouped SEMI JOIN (SELECT name FROM grouped GROUP BY ALL HAVING count(*) >= ?) USING (name)
		ORDER BY ALL`, keys.MinGroup)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var scanErr error
	findings := keys.TestGroups(func(yield func(keys.Group) bool) { scanErr = eachGroup(rows, yield) }, keys.FDR)
	if err := errors.Join(scanErr, rows.Err()); err != nil {
		return nil, err
	}
	return findings, c.insertFindings(ctx, findings)
}

// eachGroup yields the groups that rows of name and key, sorted by name, consist of.
func eachGroup(rows *sql.Rows, yield func(keys.Group) bool) error {
	var group keys.Group
	for rows.Next() {
		var name string
		var key uint64
		if err := rows.Scan(&name, &key); err != nil {
			return err
		}
		if name != group.Name && group.Keys != nil {
			if !yield(group) {
				return nil
			}
			group.Keys = nil
		}
		group.Name = name
		group.Keys = append(group.Keys, key)
	}
	if group.Keys != nil {
		yield(group)
	}
	return nil
}

func (c *Classifier) insertFindings(ctx context.Context, findings []keys.Finding) (err error) {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return conn.Raw(func(driverConn any) error {
		appender, err := duckdb.NewAppender(driverConn.(*duckdb.Conn), "temp", "main", "findings")
		if err != nil {
			return err
		}
		for _, f := range findings {
			if f.Suspects == nil && f.Group != wholeScan { // which would be said of every host
				err = errors.Join(err, appender.AppendRow(f.Group, nil, f.Reason))
			}
			for _, key := range f.Suspects {
				err = errors.Join(err, appender.AppendRow(f.Group, key, f.Reason))
			}
		}
		return errors.Join(err, appender.Close())
	})
}
