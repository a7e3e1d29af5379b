package verify

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// Run connects to all targets and writes the tables `grabs` and `verifications` of the dataset in dir, of
// which [dataset.OpenDuckDB] made db. The file of `verifications`, which names the other, comes last: a run
// that is interrupted or killed is no part of the dataset. What a killed one left, the next removes.
func Run(ctx context.Context, db *sql.DB, dir string, p Params) (Result, error) {
	if err := p.Validate(); err != nil {
		return Result{}, err
	}
	if err := CheckKernel(); err != nil {
		return Result{}, err
	}
	quiet()
	v := verification{Partition: p.Partition, started: time.Now()}
	v.result.ID = fmt.Sprintf("%s-verify-%s-%d-%s", v.started.UTC().Format("20060102T150405.000000Z"), p.Family, p.Port, p.Probe)
	folder, end, err := begin(ctx, dir, v.result.ID)
	if err != nil {
		return Result{}, err
	}
	v.spool = filepath.Join(folder, spoolFile)
	err = v.run(ctx, db, dir, p)
	return v.result, cmp.Or(err, end())
}

// run makes the connections, then the tables.
func (v *verification) run(ctx context.Context, db *sql.DB, dir string, p Params) error {
	spool, err := os.Create(v.spool)
	if err != nil {
		return err
	}
	defer spool.Close()
	if err := v.connect(ctx, p, spool); err != nil {
		return err
	}
	return v.write(ctx, db, dir, p)
}

// verification is what is known of a run for the table of that name.
type verification struct {
	dataset.Partition
	started, finished time.Time
	spool             string // file of rows
	result            Result
}

// connect makes the connections, and writes a line for each into the spool.
func (v *verification) connect(ctx context.Context, p Params, spool io.Writer) error {
	r := &run{Params: p, limiter: rate.NewLimiter(rate.Limit(p.Rate), 1), rows: make(chan Grab, p.Connections), asked: ctx}
	var err error
	if r.watch, err = newWatch(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeoutCause(ctx, p.Bound(), errBound)
	defer cancel()
	r.ctx, r.stop = context.WithCancelCause(bounded)
	defer r.stop(nil)
	go r.connect()

	out := bufio.NewWriter(spool)
	lines := json.NewEncoder(out)
	for g := range r.rows {
		if err := lines.Encode(v.row(g)); err != nil {
			r.stop(fatal{fmt.Errorf("%s: %w", v.spool, err)})
		}
		v.result.Rows++
		if g.Outcome == OutcomeSkipped {
			v.result.Skipped++
		}
		if p.Progress != nil {
			p.Progress(v.result.Rows, p.connections())
		}
	}
	v.finished = time.Now()
	v.result.Stopped = context.Cause(r.ctx)
	if r.abandoned() {
		return v.result.Stopped
	}
	rise, err := r.watch.since()
	v.result.Blackholes = rise.blackholes
	return errors.Join(err, out.Flush())
}

// write makes the tables of the spool.
func (v *verification) write(ctx context.Context, db *sql.DB, dir string, p Params) error {
	path := v.Path(dir, dataset.GrabsTable, v.result.ID, dataset.Parquet)
	query, err := tableOf(ctx, db, dataset.GrabsTable, v.spool)
	if err != nil {
		return err
	}
	if err := dataset.WriteParquet(ctx, db, query+" ORDER BY place, protocol, round, transport", path); err != nil {
		return err
	}
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	size, digest, err := digestOf(path)
	if err != nil {
		return err
	}
	kernel, err := kernelRelease()
	if err != nil {
		return err
	}
	row, err := json.Marshal(map[string]any{
		"verification_id": v.result.ID,
		"started":         timestamp(v.started),
		"finished":        timestamp(v.finished),
		"tool_version":    p.ToolVersion,
		"kernel":          kernel,
		"arguments":       p.Arguments,
		"targets":         p.Targets.Count,
		"blocked":         p.Blocked,
		"blackholes":      v.result.Blackholes,
		"rows":            v.result.Rows,
		"files":           []any{map[string]any{"path": filepath.ToSlash(name), "rows": v.result.Rows, "bytes": size, "sha256": digest}},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(v.spool, row, 0o600); err != nil {
		return err
	}
	if query, err = tableOf(ctx, db, dataset.VerificationsTable, v.spool); err != nil {
		return err
	}
	return dataset.WriteParquet(ctx, db, query, v.Path(dir, dataset.VerificationsTable, v.result.ID, dataset.Parquet))
}

// tableOf is the query of JSON rows with the columns of a table, as schemas/tables.yaml has them. Rows may
// have a place beside, to be sorted by.
func tableOf(ctx context.Context, db *sql.DB, table, file string) (string, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT column_name, column_type FROM (DESCRIBE `+table+`)
		WHERE column_name NOT IN ('date', 'family', 'port', 'probe')`)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var columns, types []string
	for rows.Next() {
		var name, kind string
		if err := rows.Scan(&name, &kind); err != nil {
			return "", err
		}
		columns = append(columns, `"`+name+`"`)
		types = append(types, fmt.Sprintf(`"%s": %s`, name, dataset.Literal(kind)))
	}
	return fmt.Sprintf("SELECT %s FROM read_json(%s, format = 'newline_delimited', columns = {%s, place: 'UINTEGER'})",
		strings.Join(columns, ", "), dataset.Literal(file), strings.Join(types, ", ")), rows.Err()
}

// row is a row of `grabs` as JSON.
func (v *verification) row(g Grab) map[string]any {
	row := map[string]any{
		"place":           g.place,
		"verification_id": v.result.ID,
		"target":          g.Target.String(),
		"protocol":        g.Protocol,
		"transport":       g.Transport,
		"round":           g.Round,
		"time":            timestamp(g.Began),
		"outcome":         g.Outcome,
		"total_us":        g.Total.Microseconds(),
	}
	for name, text := range map[string]string{
		"error": g.Error, "fallback": g.Fallback, "server": g.Server, "tls_version": g.TLSVersion,
	} {
		if text != "" {
			row[name] = text
		}
	}
	for name, duration := range map[string]sql.Null[time.Duration]{
		"connect_us": g.Connect, "tls_us": g.TLS, "first_byte_us": g.FirstByte,
	} {
		if duration.Valid {
			row[name] = duration.V.Microseconds()
		}
	}
	put(row, "mptcp_at_connect", g.MPTCPAtConnect)
	put(row, "mptcp_after_data", g.MPTCPAfterData)
	put(row, "bytes_sent", g.BytesSent)
	put(row, "bytes_received", g.BytesReceived)
	if g.info.Valid {
		row["mptcp_bytes_sent"] = g.info.V.sent
		row["mptcp_bytes_received"] = g.info.V.received
		row["mptcp_bytes_acked"] = g.info.V.acked
		row["mptcp_subflows"] = g.info.V.subflows
		row["mptcp_flags"] = g.info.V.flags
	}
	if g.Status != 0 {
		row["status"] = g.Status
	}
	if g.CertificateNames != nil {
		row["certificate_names"] = g.CertificateNames
	}
	return row
}

func put[T any](row map[string]any, name string, value sql.Null[T]) {
	if value.Valid {
		row[name] = value.V
	}
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// digestOf is a file's size and SHA-256.
func digestOf(path string) (size int64, digest string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	h := sha256.New()
	size, err = io.Copy(h, file)
	return size, hex.EncodeToString(h.Sum(nil)), err
}
