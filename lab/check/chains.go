package check

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

//go:embed chains.sql
var chainsSQL string

// writeChains makes the temporary table chains: a row a host at the end of a chain of real routers, with
// what a census with v1 should find.
func writeChains(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `CREATE TEMP TABLE chains (
		number INTEGER, name VARCHAR, family VARCHAR, target VARCHAR,
		verdict VARCHAR, finding VARCHAR, place VARCHAR, connection VARCHAR, final VARCHAR)`)
	if err != nil {
		return err
	}
	for number, chain := range scenario.Chains {
		for _, a := range chain.Addrs() {
			truth := chain.Truth(scenario.FamilyOf(a))
			place := ""
			if truth.By > 0 {
				place = fmt.Sprintf("%d–%d", truth.After, truth.By)
			}
			_, err := db.ExecContext(ctx, "INSERT INTO chains VALUES (?, ?, ?, ?, nullif(?, ''), ?, nullif(?, ''), ?, nullif(?, ''))",
				number, chain.Name, scenario.FamilyOf(a), a.String(),
				string(truth.Verdict), truth.Finding, place, string(truth.Connected), string(truth.Final))
			if err != nil {
				return err
			}
		}
	}
	return nil
}
