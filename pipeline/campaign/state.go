package campaign

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/store"
)

// stateName is the file in a campaign's folder.
const stateName = "state.json"

// maxState bounds what is read of it: some hundred bytes a step.
const maxState = 64 << 20

// State is all that is recorded of a campaign: what it does and how far it has come.
type State struct {
	ToolVersion string      `json:"tool_version"` // that began the campaign
	Started     time.Time   `json:"started"`
	Date        string      `json:"date"` // of all scans; empty before the first
	Seed        uint64      `json:"seed"` // orders the targets of all scans and traces
	Campaign    Campaign    `json:"campaign"`
	Inputs      []Input     `json:"inputs"`
	Steps       []StepState `json:"steps"`
}

// Input is a file that the campaign reads.
type Input struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// StepState is a step and how far it has come.
type StepState struct {
	Step
	Progress    Progress  `json:"progress"`
	Started     time.Time `json:"started,omitzero"` // the last time
	Finished    time.Time `json:"finished,omitzero"`
	Tries       int       `json:"tries,omitempty"`
	ToolVersion string    `json:"tool_version,omitempty"` // of the last try
	ScanID      string    `json:"scan_id,omitempty"`      // of a scan whose rows are all there
	Listed      []string  `json:"listed,omitempty"`       // what was in the dataset before a trace or verification began
	Result      string    `json:"result,omitempty"`       // what the command said
	Rejected    string    `json:"rejected,omitempty"`     // what it said of too many rejected rows
}

// Progress is how far a step has come.
type Progress string

// The values of Progress.
const (
	Waiting Progress = "waiting"
	Running Progress = "running" // or its process died
	Done    Progress = "done"
)

// Begun says whether the campaign's folder has a state.
func (c *Campaign) Begun() (bool, error) {
	_, err := os.Stat(c.Folder() + "/" + stateName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Begin is the state of a campaign of which nothing is done, not stored yet.
func (c *Campaign) Begin(toolVersion string) (*State, error) {
	inputs, err := c.digests()
	if err != nil {
		return nil, err
	}
	seed := c.Seed
	if seed == 0 {
		if seed, err = randomSeed(); err != nil {
			return nil, err
		}
	}
	steps, err := c.Plan(seed)
	if err != nil {
		return nil, err
	}
	st := &State{ToolVersion: toolVersion, Started: time.Now().UTC(), Seed: seed, Campaign: *c, Inputs: inputs}
	for _, step := range steps {
		st.Steps = append(st.Steps, StepState{Step: step, Progress: Waiting})
	}
	return st, nil
}

// Resume reads the state of a campaign that has begun. The error says what has changed since, if anything
// has: half of a campaign must not be another one.
func (c *Campaign) Resume() (*State, error) {
	folder, err := store.Open(context.Background(), c.Folder())
	if err != nil {
		return nil, err
	}
	text, err := store.ReadFile(context.Background(), folder, stateName, maxState)
	if err != nil {
		return nil, err
	}
	st := new(State)
	if err := json.Unmarshal(text, st); err != nil {
		return nil, fmt.Errorf("%s/%s: %w: restore it, or begin a campaign of another name", c.Folder(), stateName, err)
	}
	changes, err := c.changesSince(st)
	if err != nil {
		return nil, err
	}
	if changes != nil {
		return nil, st.changedError(changes)
	}
	return st, nil
}

func (st *State) changedError(changes []string) error {
	return fmt.Errorf("campaign %s began %s, and has changed since: %s: undo that, or give the campaign a new name",
		st.Campaign.Name, st.Started.Format("2006-01-02 15:04"), strings.Join(changes, "; "))
}

// save replaces the state on stable storage.
func (st *State) save() error {
	text, err := json.MarshalIndent(st, "", " ")
	if err != nil {
		return err
	}
	folder, err := store.Open(context.Background(), st.Campaign.Folder())
	if err != nil {
		return err
	}
	return store.WriteFile(context.Background(), folder, stateName, append(text, '\n'))
}

// Finished says whether all steps are done.
func (st *State) Finished() bool {
	for _, s := range st.Steps {
		if s.Progress != Done {
			return false
		}
	}
	return true
}

// Rejected are the steps' complaints of too many rejected rows.
func (st *State) Rejected() (complaints []string) {
	for _, s := range st.Steps {
		if s.Rejected != "" {
			complaints = append(complaints, s.Rejected)
		}
	}
	return complaints
}

func (c *Campaign) digests() ([]Input, error) {
	files, err := c.inputs()
	if err != nil {
		return nil, err
	}
	var inputs []Input
	for _, name := range files {
		digest, err := digestOf(name)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, Input{name, digest})
	}
	return inputs, nil
}

func digestOf(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// randomSeed is never 0, and ZMap reads a signed number.
func randomSeed() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("random seed: %w", err)
	}
	return max(binary.BigEndian.Uint64(b[:])>>1, 1), nil
}
