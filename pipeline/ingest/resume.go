package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// Left is what a process left of an ingest that it did not finish.
type Left struct {
	Params        // to give to Run or Finish
	Kept   uint64 // rows on stable storage
}

// Unfinished lists what was left in a dataset, but for the spools of scans.
func Unfinished(ctx context.Context, d *dataset.Dataset) ([]Left, error) {
	stages, err := d.Stages(ctx)
	if err != nil {
		return nil, err
	}
	var left []Left
	for _, stage := range stages {
		var st state
		err := stage.Load(ctx, &st)
		if errors.Is(err, fs.ErrNotExist) {
			continue // nothing that could be gone on with
		}
		if err != nil {
			return nil, err
		}
		if st.Made.Input == "" {
			continue // of a spool
		}
		if err := st.check(); err != nil {
			return nil, stage.Spoilt(err)
		}
		left = append(left, Left{st.Made.params(stage.ID), st.Counts.Kept})
	}
	return left, nil
}

func (m made) params(stage string) Params {
	return Params{
		Format: m.Format, Partition: m.Given, Input: m.Input, Source: m.Source, ToolVersion: m.ToolVersion,
		Stage: stage, Resume: true, sizes: sizes{m.Block, m.Part},
	}
}

// Opener opens an input by its path.
type Opener func(ctx context.Context, path string) (io.ReadCloser, error)

// Resume finishes what was left: from the input where that can be read again, else with the rows that are
// on stable storage.
func (l Left) Resume(ctx context.Context, d *dataset.Dataset, open Opener) (Summary, error) {
	if l.Source == "" {
		s, err := Finish(ctx, d, l.Params)
		if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrUnfinished) {
			return s, nil // a pipe that was left before its first part
		}
		return s, err
	}
	rows, err := open(ctx, l.Source)
	if err != nil {
		return Summary{}, fmt.Errorf("%w: put it back, or remove unfinished/%s from the dataset", err, l.Stage)
	}
	defer rows.Close()
	s, err := Run(ctx, d, rows, l.Params)
	if errors.Is(err, errChanged) {
		err = fmt.Errorf("%w, and remove unfinished/%s from the dataset", err, l.Stage)
	}
	return s, err
}
