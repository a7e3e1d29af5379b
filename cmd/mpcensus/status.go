package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// plainInterval is how often progress becomes a line where output is not a terminal.
const plainInterval = 10 * time.Second

// statusLine shows the progress of long work on standard error: one line that is rewritten on a
// terminal, a plain line now and then elsewhere. Safe for use by several goroutines.
type statusLine struct {
	mu       sync.Mutex
	view     *runView // that shows it in standard error's place
	terminal bool
	shown    bool
	last     time.Time
}

// campaignView, if not nil, shows the progress of all commands as part of its own: mpcensus run sets it.
var campaignView *runView

func newStatusLine() *statusLine {
	if campaignView != nil {
		return &statusLine{view: campaignView, terminal: campaignView.terminal}
	}
	_, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS)
	return &statusLine{terminal: err == nil, last: time.Now()}
}

func (s *statusLine) update(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.view != nil:
		s.view.status(text)
	case s.terminal:
		fmt.Fprintf(os.Stderr, "\r\033[K%s", fitting(text))
		s.shown = true
	case time.Since(s.last) >= plainInterval:
		fmt.Fprintln(os.Stderr, text)
		s.last = time.Now()
	}
}

// fitting cuts text to the terminal's width: a line that wraps cannot be rewritten.
func fitting(text string) string {
	size, err := unix.IoctlGetWinsize(int(os.Stderr.Fd()), unix.TIOCGWINSZ)
	runes := []rune(text)
	if err != nil || size.Col == 0 || len(runes) < int(size.Col) {
		return text
	}
	return string(runes[:size.Col-1])
}

// message prints a line of its own without disturbing the status.
func (s *statusLine) message(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil {
		s.view.message(text)
		return
	}
	s.erase()
	fmt.Fprintln(os.Stderr, text)
}

// done removes the status from the terminal.
func (s *statusLine) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

func (s *statusLine) erase() {
	if s.shown {
		fmt.Fprint(os.Stderr, "\r\033[K")
		s.shown = false
	}
}
