package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/campaign"
)

func viewed() (*runView, *bytes.Buffer) {
	st := new(campaign.State)
	for _, s := range []struct {
		stage    campaign.Stage
		title    string
		progress campaign.Progress
	}{
		{campaign.StageTargets, "ipv6", campaign.Done},
		{campaign.StageScan, "ipv4 443 v1", campaign.Done},
		{campaign.StageScan, "ipv6 443 v1", campaign.Running},
		{campaign.StageClassify, "", campaign.Waiting},
	} {
		st.Steps = append(st.Steps, campaign.StepState{Step: campaign.Step{Stage: s.stage, Title: s.title}, Progress: s.progress})
	}
	var log bytes.Buffer
	return &runView{log: &log, state: st}, &log
}

// A line a stage, with the step that runs and its status.
func TestStageLines(t *testing.T) {
	v, _ := viewed()
	v.text = "0:03 41%"
	want := []string{
		"done     targets   1 of 1",
		"running  scan      1 of 2  ipv6 443 v1: 0:03 41%",
		"waiting  classify  0 of 1",
	}
	if got := v.stageLines(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	v.state.Steps[2].Progress, v.state.Steps[3].Progress, v.text = campaign.Done, campaign.Running, "reading"
	want = []string{"done     targets   1 of 1", "done     scan      2 of 2", "running  classify  0 of 1  reading"}
	if got := v.stageLines(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// What the commands of a campaign show as their status is its status, and their messages are in its log.
func TestStatusInView(t *testing.T) {
	v, log := viewed()
	v.terminal = false
	campaignView = v
	defer func() { campaignView = nil }()
	line := newStatusLine()
	line.update("0:04 60%")
	line.message("warning: lost")
	line.done()
	if v.text != "0:04 60%" || !strings.Contains(log.String(), "warning: lost\n") {
		t.Errorf("status %q, log %q", v.text, log)
	}
}

// Too many rejected rows are no reason to stop a campaign; all else is.
func TestOutcomeOf(t *testing.T) {
	if o, err := outcomeOf(&exitError{exitRejected, "2 of 9 lines rejected"}); err != nil || o.Rejected != "2 of 9 lines rejected" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, failure := range []error{errors.New("no"), &exitError{exitUsage, "no"}} {
		if _, err := outcomeOf(failure); err != failure {
			t.Errorf("%v became %v", failure, err)
		}
	}
}
