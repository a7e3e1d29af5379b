package ingest

import (
	"database/sql"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Provenance is what is known of a ZMap run.
type Provenance struct {
	Started       time.Time        `json:"started"`
	Finished      time.Time        `json:"finished"`
	Complete      bool             `json:"complete"` // ZMap ended as it should
	ZMapVersion   string           `json:"zmap_version"`
	ZMapArguments []string         `json:"zmap_arguments"`
	Seed          sql.Null[uint64] `json:"seed"`
	Campaign      string           `json:"campaign"`       // empty: none
	TargetsSHA256 string           `json:"targets_sha256"` // of the target file, empty if there is none
	Targets       sql.Null[uint64] `json:"targets"`
	Counts        zmap.Counts      `json:"counts"`
}
