package classify

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

//go:embed treatments.sql
var treatmentsSQL string

// Treatments are all that a campaign can conclude, MPTCP first and silence last.
var Treatments = []string{
	"supports", "mirrors", "tampers", "implausible", "strips", "ignores", "resets", "drops", "unclear", "closed",
}

// Campaign is the scans of a paired campaign that probed the same targets on one port: of a campaign in
// shards, those of one shard.
type Campaign struct {
	ID     string
	Family string
	Port   uint16
	Shard  string // "0 of 2"; empty if there is only one
	seed   uint64 // of the permutation that is cut into shards; 0 if there is only one
	scans  []campaignScan
}

type campaignScan struct {
	Scan
	complete bool
	unsent   uint64 // probes
	dropped  uint64 // packets that may have been replies
}

// Treated is what a campaign concludes on one MPTCP version.
type Treated struct {
	Scan       Scan              // the one with that version
	Treatments map[string]uint64 // targets by treatment
}

// campaignsSQL takes shards from ZMap's command line: a shard of one seed is a set of targets.
const campaignsSQL = `
	WITH arguments AS (
		SELECT *, regexp_extract(array_to_string(zmap_arguments, ' '), ' --shards=(\d+)', 1) AS shards,
			regexp_extract(array_to_string(zmap_arguments, ' '), ' --shard=(\d+)', 1) AS shard
		FROM scans WHERE campaign IS NOT NULL
	)
	SELECT campaign, family, port,
		if(coalesce(shards, '') IN ('', '1'), '', shard || ' of ' || shards) AS shard,
		if(coalesce(shards, '') IN ('', '1'), 0, coalesce(seed, 0)) AS seed,
		scan_id, date, probe, complete,
		coalesce(send_failures, 0), coalesce(kernel_drops, 0) + coalesce(interface_drops, 0) + coalesce(backlog_drops, 0)
	FROM arguments ORDER BY ALL`

// Campaigns are the paired campaigns that the table scans knows, by their id. The database is one of
// [dataset.OpenDuckDB].
func Campaigns(ctx context.Context, db *sql.DB) ([]Campaign, error) {
	rows, err := db.QueryContext(ctx, campaignsSQL)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var campaigns []Campaign
	for rows.Next() {
		var c Campaign
		var s campaignScan
		if err := rows.Scan(&c.ID, &c.Family, &c.Port, &c.Shard, &c.seed, &s.ID, &s.Date, &s.Probe, &s.complete, &s.unsent, &s.dropped); err != nil {
			return nil, err
		}
		s.Family, s.Port = c.Family, c.Port
		last := len(campaigns) - 1
		if last < 0 || !campaigns[last].same(c) {
			campaigns = append(campaigns, c)
			last++
		}
		campaigns[last].scans = append(campaigns[last].scans, s)
	}
	return campaigns, rows.Err()
}

// same says whether two scans belong together, as their campaigns say.
func (c Campaign) same(d Campaign) bool {
	return c.ID == d.ID && c.Family == d.Family && c.Port == d.Port && c.Shard == d.Shard && c.seed == d.seed
}

// Judge writes the table treatments of a campaign into the dataset in dir: a file for each MPTCP version
// that the campaign can judge. The notes say what it lacks.
//
// It reads the table hosts, so that the database has to be opened after [Classifier.Hosts] wrote those of
// all the campaign's scans.
func (c Campaign) Judge(ctx context.Context, db *sql.DB, dir string) (treated []Treated, notes []string, err error) {
	if err := c.checkHosts(ctx, db); err != nil {
		return nil, nil, err
	}
	scans, notes := c.judged()
	for _, scan := range scans {
		counts, err := c.judge(ctx, db, dir, scan)
		if err != nil {
			return nil, notes, fmt.Errorf("campaign %s, scan %s: %w", c.ID, scan.ID, err)
		}
		treated = append(treated, Treated{scan, counts})
	}
	return treated, notes, nil
}

// judged are the scans with MP_CAPABLE whose targets the campaign tells something about, and what it
// lacks for more. Silence means something only in a scan that sent all its probes.
func (c Campaign) judged() (scans []Scan, notes []string) {
	byProbe := make(map[string][]campaignScan)
	for _, s := range c.scans {
		byProbe[s.Probe] = append(byProbe[s.Probe], s)
	}
	for _, probe := range []string{zmap.ProbePlain, zmap.ProbeV0, zmap.ProbeV1, zmap.ProbeCanary} {
		if n := len(byProbe[probe]); n > 1 {
			return nil, []string{fmt.Sprintf("%d %s scans, which may have probed different targets: no treatments", n, probe)}
		}
	}
	switch plain := byProbe[zmap.ProbePlain]; {
	case plain == nil:
		return nil, []string{"no plain scan: no treatments"}
	case !plain[0].complete:
		return nil, []string{"the plain scan is incomplete: no treatments"}
	}
	for _, s := range slices.Concat(byProbe[zmap.ProbeV0], byProbe[zmap.ProbeV1]) {
		if s.complete {
			scans = append(scans, s.Scan)
		} else {
			notes = append(notes, fmt.Sprintf("the %s scan is incomplete: no treatments of it", s.Probe))
		}
	}
	if scans == nil && notes == nil {
		return nil, []string{"neither a v0 nor a v1 scan: no treatments"}
	}
	switch canary := byProbe[zmap.ProbeCanary]; {
	case scans == nil:
	case canary == nil:
		notes = append(notes, "no canary scan: judged without it")
	case !canary[0].complete:
		notes = append(notes, "the canary scan is incomplete: judged by what it has")
	}
	for _, s := range c.scans {
		if scans != nil && s.unsent+s.dropped > 0 {
			notes = append(notes, fmt.Sprintf("the %s scan could not send %d probes and dropped %d packets: some of its silence may be this loss",
				s.Probe, s.unsent, s.dropped))
		}
	}
	return scans, notes
}

// checkHosts makes sure that the hosts of all scans can be seen and stand for all replies: a target
// without a row did not answer.
func (c Campaign) checkHosts(ctx context.Context, db *sql.DB) error {
	for _, s := range c.scans {
		var classified bool
		err := db.QueryRowContext(ctx, `
			SELECT rows_kept = (SELECT coalesce(sum(replies), 0) FROM hosts
				WHERE date = $1 AND family = $2 AND port = $3 AND probe = $4 AND scan_id = $5)
			FROM scans
			WHERE date = $1 AND family = $2 AND port = $3 AND probe = $4 AND scan_id = $5`,
			s.Date, s.Family, s.Port, s.Probe, s.ID).Scan(&classified)
		if err != nil {
			return err
		}
		if !classified {
			return fmt.Errorf("campaign %s: the hosts of its scan %s are not those of its replies: classify it again", c.ID, s.ID)
		}
	}
	return nil
}

func (c Campaign) judge(ctx context.Context, db *sql.DB, dir string, scan Scan) (map[string]uint64, error) {
	if err := register(ctx, db); err != nil {
		return nil, err
	}
	var ids []string
	var canary campaignScan
	for _, s := range c.scans {
		ids = append(ids, dataset.Literal(s.ID))
		if s.Probe == zmap.ProbeCanary {
			canary = s
		}
	}
	variables := fmt.Sprintf(`
		SET VARIABLE campaign = %s;
		SET VARIABLE family = %s;
		SET VARIABLE port = %d;
		SET VARIABLE campaign_scans = [%s];
		SET VARIABLE scan_id = %s;
		SET VARIABLE canary_scan = %t;
		SET VARIABLE canary_complete = %t;`,
		dataset.Literal(c.ID), dataset.Literal(c.Family), c.Port, strings.Join(ids, ", "),
		dataset.Literal(scan.ID), canary.ID != "", canary.complete)
	if _, err := db.ExecContext(ctx, variables+treatmentsSQL); err != nil {
		return nil, err
	}
	counts, err := countBy(ctx, db, "treatment", "judged_treatments")
	if err != nil {
		return nil, err
	}
	return counts, dataset.WriteParquet(ctx, db, "FROM judged_treatments ORDER BY address_order(target)",
		treatmentsPath(dir, scan))
}

func treatmentsPath(dir string, scan Scan) string {
	return scan.Path(dir, dataset.TreatmentsTable, scan.ID, dataset.Parquet)
}
