package ingest

import (
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// sizes are those of blocks and parts.
type sizes struct {
	block int   // bytes of the input: a row group
	part  int64 // blocks: a file
}

// defaultSizes make row groups of about 17,000 rows, in files of about 2.3 million.
var defaultSizes = sizes{block: 8 << 20, part: 128}

// state is how far an ingest has come: after a number of blocks. What Stage.Save is given has the rows of
// all of them in parts.
type state struct {
	Made made `json:"made"`

	Blocks  int64                  `json:"blocks"`
	Input   inputDigest            `json:"input"` // of at least these blocks
	Scan    dataset.ScanKey        `json:"scan"`  // what is known of it
	Counts  Counts                 `json:"counts"`
	Reasons map[zmap.Reason]uint64 `json:"reasons"`
	Tally   tally                  `json:"tally"`
	Parts   []dataset.Part         `json:"parts"`
}

// made is what must be the same for one process to go on with the work of another.
type made struct {
	ToolVersion string            `json:"tool_version"`
	Input       string            `json:"input"`
	Source      string            `json:"source"`
	Format      dataset.Format    `json:"format"`
	Given       dataset.Partition `json:"given"`
	Block       int               `json:"block"`
	Part        int64             `json:"part"`
}

func newState(p Params) state {
	return state{
		Made:    made{p.ToolVersion, p.Input, p.Source, p.Format, p.Partition, p.sizes.block, p.sizes.part},
		Scan:    dataset.ScanKey{Partition: p.Partition},
		Reasons: map[zmap.Reason]uint64{},
	}
}

// maxBlock bounds what a note can make the program allocate.
const maxBlock = 1 << 30

// check says what no process can have noted.
func (st *state) check() error {
	switch m := st.Made; {
	case m.Block <= 0 || m.Block > maxBlock || m.Part <= 0 || st.Blocks < 0:
		return fmt.Errorf("%d blocks of %d bytes, %d a part", st.Blocks, m.Block, m.Part)
	case st.Blocks > 0 && len(st.Input.XXH3) != 32:
		return fmt.Errorf("%q is no XXH3 digest of 128 bits", st.Input.XXH3)
	}
	return nil
}

// tally is what a scan's row says of all its replies together.
type tally struct {
	First time.Time `json:"first"` // the earliest and the latest reply; zero if none says when
	Last  time.Time `json:"last"`
	Keys  keyTally  `json:"keys"`
}

func (t *tally) add(row *zmap.Row) {
	t.addTimes(row.Time, row.Time)
	t.Keys.add(row)
}

// join adds what is said of the rows that follow.
func (t *tally) join(next tally) {
	t.addTimes(next.First, next.Last)
	t.Keys.join(next.Keys)
}

func (t *tally) addTimes(first, last time.Time) {
	if first.IsZero() {
		return
	}
	if t.First.IsZero() || first.Before(t.First) {
		t.First = first
	}
	if last.After(t.Last) {
		t.Last = last
	}
}

// keyTally finds out whether every target was sent the same key.
type keyTally struct {
	Rows    bool             `json:"rows"`
	Key     sql.Null[uint64] `json:"key"`     // of the first row
	Target  netip.Addr       `json:"target"`  // of the first row
	Differ  bool             `json:"differ"`  // another row has another key, or none
	Targets bool             `json:"targets"` // there are several targets
}

func (t *keyTally) add(row *zmap.Row) {
	if !t.Rows {
		*t = keyTally{Rows: true, Key: row.SentKey, Target: row.Saddr}
		return
	}
	if t.Differ && t.Targets {
		return // nothing more can be found out
	}
	t.Differ = t.Differ || row.SentKey != t.Key
	t.Targets = t.Targets || row.Saddr != t.Target
}

func (t *keyTally) join(next keyTally) {
	switch {
	case !next.Rows:
	case !t.Rows:
		*t = next
	default:
		t.Differ = t.Differ || next.Differ || next.Key != t.Key
		t.Targets = t.Targets || next.Targets || next.Target != t.Target
	}
}

// static is the one key that every target was sent. The key of a single target may be its own.
func (t *keyTally) static() sql.Null[uint64] {
	if t.Differ || !t.Targets {
		return sql.Null[uint64]{}
	}
	return t.Key
}
