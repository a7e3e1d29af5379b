package verify

import (
	"context"
	"database/sql"
)

// Summary counts the targets of a run, each once.
type Summary struct {
	Targets      uint64
	Proven       uint64 // some connection was MPTCP after response bytes
	AfterConnect uint64 // else, one fell back after it was established
	AtConnect    uint64 // else, one fell back when it was established
	NoResponse   uint64 // else, one was established, by whichever transport: MPTCP was not put to the test
	Unreachable  uint64 // else, one was tried
	Skipped      uint64 // the others
}

// Summarize counts the targets of a verification. The database was opened after its end.
func Summarize(ctx context.Context, db *sql.DB, id string) (s Summary, err error) {
	err = db.QueryRowContext(ctx, `
		WITH targets AS (
			SELECT coalesce(bool_or(mptcp_after_data), false) AS proven,
				coalesce(bool_or(fallback = 'after-connect'), false) AS after_connect,
				coalesce(bool_or(fallback = 'at-connect'), false) AS at_connect,
				bool_or(connect_us IS NOT NULL) AS connected,
				bool_or(outcome <> 'skipped') AS tried
			FROM grabs WHERE verification_id = ? GROUP BY target),
		classes AS (
			SELECT CASE WHEN proven THEN 'proven' WHEN after_connect THEN 'after' WHEN at_connect THEN 'at'
				WHEN connected THEN 'none' WHEN tried THEN 'unreachable' ELSE 'skipped' END AS class
			FROM targets)
		SELECT count(*), count(*) FILTER (class = 'proven'), count(*) FILTER (class = 'after'),
			count(*) FILTER (class = 'at'), count(*) FILTER (class = 'none'),
			count(*) FILTER (class = 'unreachable'), count(*) FILTER (class = 'skipped')
		FROM classes`, id).Scan(&s.Targets, &s.Proven, &s.AfterConnect, &s.AtConnect, &s.NoResponse, &s.Unreachable, &s.Skipped)
	return s, err
}
