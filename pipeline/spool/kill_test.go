package spool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// childEnv makes the test binary a writer of the spool it names; see feed.
const childEnv = "MPCENSUS_TEST_SPOOL"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		fmt.Fprintln(os.Stderr, feed(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// killInput is what a child feeds.
func killInput() []byte { return rows(40_000) }

// feed writes killInput to a spool, at a few MB/s, and logs when it had fed how much.
func feed(path string) error {
	w, err := Create(path)
	if err != nil {
		return err
	}
	if _, err := w.ReadFrom(&loggedFeed{input: killInput(), random: rand.New(rand.NewPCG(uint64(os.Getpid()), 0))}); err != nil {
		return err
	}
	// The killer is late.
	select {}
}

type loggedFeed struct {
	input  []byte
	fed    int
	random *rand.Rand
}

func (f *loggedFeed) Read(p []byte) (int, error) {
	time.Sleep(time.Duration(f.random.IntN(4000)) * time.Microsecond)
	n := copy(p, f.input[f.fed:min(len(f.input), f.fed+1+f.random.IntN(8192))])
	f.fed += n
	if n == 0 {
		return 0, io.EOF
	}
	fmt.Println(time.Now().UnixNano(), f.fed)
	return n, nil
}

// A writer is killed at a random moment: its spool holds whole lines from the input's start, and lacks
// at most those of the last second.
func TestKilled(t *testing.T) {
	const children, atOnce = 60, 10
	var victims [children]victim
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range victims {
		v := &victims[i]
		v.path = spoolPath(t)
		after := time.Duration(rand.Int64N(int64(3 * time.Second)))
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			v.runAndKill(after)
		})
	}
	group.Wait()
	input := killInput()
	for i := range victims {
		t.Run(strconv.Itoa(i), func(t *testing.T) { victims[i].check(t, input) })
	}
}

// victim is a child that was killed.
type victim struct {
	path   string
	log    string
	killed time.Time // just before it died
	err    error
}

func (v *victim) runAndKill(after time.Duration) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+v.path)
	var stdout, stderr bytes.Buffer
	child.Stdout, child.Stderr = &stdout, &stderr
	if v.err = child.Start(); v.err != nil {
		return
	}
	time.Sleep(after)
	v.killed = time.Now()
	v.err = child.Process.Kill()
	child.Wait()
	v.log = stdout.String()
	if stderr.Len() > 0 {
		v.err = errors.New(stderr.String())
	}
}

func (v *victim) check(t *testing.T, input []byte) {
	if v.err != nil {
		t.Fatal(v.err)
	}
	path := v.path
	cut, err := Recover(path)
	if err != nil {
		if _, statErr := os.Stat(path); os.IsNotExist(statErr) && v.log == "" {
			return // killed before it began
		}
		t.Fatal(err)
	}
	content, torn := read(t, path)
	if torn != 0 {
		t.Errorf("%d bytes torn after Recover cut %d", torn, cut)
	}
	if len(content) > 0 {
		expect(t, "zstd", zstdTool(t, path), content)
	}
	if !bytes.HasPrefix(input, content) {
		t.Errorf("%d bytes that are no prefix of the input", len(content))
	}
	if len(content) > 0 && content[len(content)-1] != '\n' {
		t.Errorf("ends within a line: %q", content[max(0, len(content)-50):])
	}
	fed, must := fedBefore(t, v.log, v.killed.Add(-time.Second))
	must = bytes.LastIndexByte(input[:must], '\n') + 1
	if len(content) < must || len(content) > fed {
		t.Errorf("%d bytes are left of %d; %d are older than a second", len(content), fed, must)
	}
}

// fedBefore is how many bytes a child fed in all, and how many before a moment.
func fedBefore(t *testing.T, log string, moment time.Time) (all, before int) {
	for s := bufio.NewScanner(strings.NewReader(log)); s.Scan(); {
		var when int64
		if _, err := fmt.Sscan(s.Text(), &when, &all); err != nil {
			t.Fatal(err)
		}
		if when < moment.UnixNano() {
			before = all
		}
	}
	return all, before
}
