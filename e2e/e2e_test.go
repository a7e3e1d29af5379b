// Package e2e tests the whole path with the real ZMap against the lab: real frames, real kernels,
// real files. Nothing here leaves the lab's network namespaces.
package e2e

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mpcensus is the binary under test, which make builds.
var mpcensus = func() string {
	path, err := filepath.Abs("../bin/mpcensus")
	if err != nil {
		panic(err)
	}
	return path
}()

// An ordinary user's PATH lacks the folder of zmap and nft; mpcensus looks there all the same.
func TestMain(m *testing.M) {
	// Scans mostly wait: more of them at a time than there are cores.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	os.Exit(m.Run())
}

// require skips a test on a machine that lacks a program, and fails it in CI, where nothing may be
// left out.
func require(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, "%s is not installed: run make test", program)
		}
	}
}

func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("in CI nothing may be skipped: "+format, args...)
	}
	t.Skipf(format, args...)
}

// result is what a finished command left.
type result struct {
	stdout, stderr string
	code           int
}

func run(t *testing.T, name string, args ...string) result {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// mustRun runs a command that has to succeed.
func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	r := run(t, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// lab is a lab of the test's own.
type lab struct {
	t   *testing.T
	dir string
}

// labUp brings a lab up and takes it down when the test ends.
func labUp(t *testing.T, flags ...string) lab {
	t.Helper()
	require(t, "zmap", "nft", "nsenter")
	l := lab{t, filepath.Join(t.TempDir(), "lab")}
	r := run(t, mpcensus, append([]string{"lab", "up", "--dir", l.dir}, flags...)...)
	if strings.Contains(r.stderr, "gives ordinary users no network") {
		skip(t, "no lab on this machine: %s", r.stderr)
	}
	if r.code != 0 {
		t.Fatalf("lab up: exit code %d: %s", r.code, r.stderr)
	}
	t.Cleanup(func() { mustRun(t, mpcensus, "lab", "down", "--dir", l.dir) })
	return l
}

// inside is the command line that runs command among the lab's hosts.
func (l lab) inside(command ...string) []string {
	return append([]string{"lab", "exec", "--dir", l.dir, "--"}, command...)
}

// scan is the command line of a scan of the lab, without its targets.
func (l lab) scan(dataset, port, probe string, more ...string) []string {
	return l.inside(append([]string{mpcensus, "scan", "--dataset", dataset, "--port", port, "--probe", probe,
		"--cooldown", "1", "--blocklist", filepath.Join(l.dir, "blocklist.conf")}, more...)...)
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
