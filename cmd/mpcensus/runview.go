package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/pipeline/campaign"
)

// runView shows how far a campaign has come, on standard error: on a terminal a line a stage, which is
// rewritten, with the status of the command that runs; elsewhere a line when a step begins and ends, and its
// status now and then. The log gets all that is not rewritten. Safe for use by several goroutines.
type runView struct {
	mu       sync.Mutex
	terminal bool
	log      io.Writer
	state    *campaign.State
	shown    []campaign.Progress // of the steps, when they were last shown
	text     string              // the status
	lines    int                 // that stand on the terminal
	last     time.Time           // of a plain status line
}

func newRunView(state *campaign.State, log io.Writer) *runView {
	_, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS)
	v := &runView{terminal: err == nil, log: log, state: state}
	for _, s := range state.Steps {
		v.shown = append(v.shown, s.Progress)
	}
	return v
}

// changed shows the steps whose progress is no longer what was shown.
func (v *runView) changed() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.state.Steps {
		s := &v.state.Steps[i]
		if s.Progress == v.shown[i] {
			continue
		}
		v.shown[i], v.text, v.last = s.Progress, "", time.Now()
		v.print(stepText(s), !v.terminal)
		if s.Progress == campaign.Running {
			fmt.Fprintf(v.log, "%s mpcensus %s\n", s.Started.Format(time.RFC3339), commandText(s.Arguments))
		}
	}
	v.draw()
}

// stepText reads: scan ipv4 443 v1: done in 12s: read 5 = kept 5 + …
func stepText(s *campaign.StepState) string {
	text := s.Name() + ": " + string(s.Progress)
	if s.Progress == campaign.Done {
		text += tookText(s)
		if s.Result != "" {
			text += ": " + s.Result
		}
	}
	return text
}

func tookText(s *campaign.StepState) string {
	if s.Started.IsZero() {
		return ""
	}
	return fmt.Sprintf(" in %v", s.Finished.Sub(s.Started).Round(time.Second))
}

// status shows the status of the command that runs.
func (v *runView) status(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.text = text
	switch {
	case v.terminal:
		v.draw()
	case time.Since(v.last) >= plainInterval:
		v.last = time.Now()
		fmt.Fprintln(os.Stderr, v.runningText())
	}
}

// message prints a line of its own.
func (v *runView) message(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erase()
	v.print(text, true)
	v.draw()
}

// done leaves the view as it is: what is printed next stands below it.
func (v *runView) done() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.text, v.lines = "", 0
}

// print writes a line to the log, and to standard error if it is to be seen.
func (v *runView) print(text string, seen bool) {
	fmt.Fprintln(v.log, text)
	if seen {
		fmt.Fprintln(os.Stderr, text)
	}
}

// runningText is the step that runs, and its status.
func (v *runView) runningText() string {
	for i := range v.state.Steps {
		if s := &v.state.Steps[i]; s.Progress == campaign.Running {
			return s.Name() + ": " + v.text
		}
	}
	return v.text
}

func (v *runView) erase() {
	if v.lines > 0 {
		fmt.Fprintf(os.Stderr, "\033[%dA\r\033[J", v.lines)
		v.lines = 0
	}
}

// draw rewrites the lines of the stages on a terminal.
func (v *runView) draw() {
	if !v.terminal {
		return
	}
	v.erase()
	for _, line := range v.stageLines() {
		fmt.Fprintln(os.Stderr, fitting(line))
		v.lines++
	}
}

// stageLines reads, a line a stage:
//
//	done     targets   1 of 1
//	running  scan      3 of 8   ipv4 443 v1 shard 1 of 2: 0:03 41%; send: …
//	waiting  classify  0 of 1
func (v *runView) stageLines() []string {
	var lines []string
	steps := v.state.Steps
	for len(steps) > 0 {
		n, done := 0, 0
		running := ""
		for ; n < len(steps) && steps[n].Stage == steps[0].Stage; n++ {
			switch s := &steps[n]; s.Progress {
			case campaign.Done:
				done++
			case campaign.Running:
				running = strings.TrimPrefix(s.Title+": "+v.text, ": ")
			}
		}
		progress := campaign.Waiting
		switch {
		case done == n:
			progress = campaign.Done
		case done > 0 || running != "":
			progress = campaign.Running
		}
		line := fmt.Sprintf("%-8s %-9s %d of %d  %s", progress, steps[0].Stage, done, n, running)
		lines = append(lines, strings.TrimRight(line, " "))
		steps = steps[n:]
	}
	return lines
}
