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

// kindsOfGroups are in the order of their tests, the largest groups first. What a large group tells of
// single keys is surer than what a small one does, in which genuine keys have a byte of the bad ones by
// chance; so the smaller ones are tested on what is left.
var kindsOfGroups = []string{"scan", "as", "prefix"}

// testGroups tests the keys of the whole scan, then of each network that has enough of them, and fills the
// table findings.
func (c *Classifier) testGroups(ctx context.Context) (all []keys.Finding, err error) {
	for _, kind := range kindsOfGroups {
		findings, err := c.testKind(ctx, kind)
		if err != nil {
			return nil, err
		}
		if err := c.insertFindings(ctx, findings); err != nil {
			return nil, err
		}
		all = append(all, findings...)
	}
	return all, nil
}

// testKind tests the groups of one kind, without the keys that the findings so far speak against.
func (c *Classifier) testKind(ctx context.Context, kind string) ([]keys.Finding, error) {
	rows, err := c.db.QueryContext(ctx, `
		WITH unsuspected AS (
			FROM grouped ANTI JOIN (FROM findings WHERE sender_key IS NOT NULL) USING (sender_key) WHERE kind = $1 AND name IS NOT NULL
		)
		SELECT name, sender_key
		FROM unsuspected SEMI JOIN (SELECT name FROM unsuspected GROUP BY ALL HAVING count(*) >= $2) USING (name)
		ORDER BY ALL`, kind, keys.MinGroup)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var scanErr error
	findings := keys.TestGroups(func(yield func(keys.Group) bool) { scanErr = eachGroup(rows, yield) }, keys.GroupFDR)
	return findings, errors.Join(scanErr, rows.Err())
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
