package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/trace"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// A command line that cannot be carried out is refused before anything is made.
func TestTraceUsage(t *testing.T) {
	for name, test := range map[string]struct {
		arguments string
		code      int
		text      string
	}{
		"no dataset":         {"--port 443", exitUsage, "--dataset is missing"},
		"no port":            {"--dataset DIR", exitUsage, "--port is missing"},
		"port":               {"--dataset DIR --port 0", exitUsage, "a TCP port is 1 to 65535"},
		"object store":       {"--dataset s3://census --port 443", exitUsage, "local folders"},
		"family":             {"--dataset DIR --port 443 --family 4", exitUsage, "it is ipv4 or ipv6"},
		"probe":              {"--dataset DIR --port 443 --probe v2", exitUsage, "it is v0, v1, plain or canary"},
		"TTLs":               {"--dataset DIR --port 443 --ttl 24", exitUsage, "FIRST-LAST"},
		"TTL of 65":          {"--dataset DIR --port 443 --ttl 1-65", exitUsage, "FIRST-LAST"},
		"rate":               {"--dataset DIR --port 443 --rate 0", exitUsage, "--rate 0"},
		"TTLs for ZMap":      {"--dataset DIR --port 443 --probe-args ttl=1-3", exitUsage, "trace sets it itself"},
		"targets for ZMap":   {"--dataset DIR --port 443 --probe-args targets=x", exitUsage, "trace sets it itself"},
		"canary in all":      {"--dataset DIR --port 443 --probe-args canary=on", exitUsage, "--probe canary"},
		"rows and rate":      {"--dataset DIR --rows x --rate 5", exitUsage, "leave out one"},
		"rows and targets":   {"--dataset DIR --rows x 192.0.2.1", exitUsage, "--rows has the targets"},
		"no such rows":       {"--dataset DIR --rows x*.json", exitUsage, "no file has such a name"},
		"rows twice":         {"--dataset DIR --rows x.json --rows y.json --rows x.json", exitUsage, "x.json is named twice"},
		"a file of rows":     {"--dataset DIR --rows missing.json", exitFailed, "missing.json"},
		"two lists":          {"--dataset DIR --port 443 --targets x 192.0.2.1", exitUsage, "choose one"},
		"what is no address": {"--dataset DIR --port 443 example.org", exitUsage, "neither an address nor a CIDR"},
		"blocked":            {"--dataset DIR --port 443 127.0.0.1", exitFailed, "blocklist"},
		"the other family":   {"--dataset DIR --port 443 --family ipv6 8.8.8.8", exitUsage, "the targets are of ipv4"},
		"nothing potential":  {"--dataset DIR --port 443", exitFailed, "no targets"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "census")
			arguments := strings.ReplaceAll(test.arguments, "DIR", dir)
			app := newApp()
			var out bytes.Buffer
			app.Writer = &out
			err := app.RunContext(t.Context(), append([]string{"mpcensus", "trace"}, strings.Fields(arguments)...))
			if err == nil || exitCode(err) != test.code || !strings.Contains(errorLine(err), test.text) {
				t.Errorf("%v, code %d", err, exitCode(err))
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); left != nil {
				t.Errorf("left in the dataset: %v", left)
			}
		})
	}
}

// Control and probes share a flow that nobody can foresee; what the user asked for stays.
func TestInOneFlow(t *testing.T) {
	flow := regexp.MustCompile(`^flow=[0-9a-f]{32}$`)
	one, other := inOneFlow(""), inOneFlow("")
	if !flow.MatchString(one) || one == other {
		t.Errorf("%q, %q", one, other)
	}
	rest, found := strings.CutPrefix(inOneFlow("key=weight16,options=bare"), "key=weight16,options=bare,")
	if !found || !flow.MatchString(rest) {
		t.Errorf("%q", rest)
	}
}

func TestTraceText(t *testing.T) {
	got := traceText(trace.Summary{
		TraceID: "ID", Read: 12, Kept: 9, Rejected: 3, Reasons: map[zmap.Reason]uint64{"range": 1, "blank": 2},
		Paths: 4, Findings: map[string]uint64{trace.FindingKept: 1, trace.FindingRemoved: 3},
	})
	if want := "ID: read 12 = kept 9 + rejected 3 (blank 2, range 1); 4 paths: removed 3, kept 1"; got != want {
		t.Errorf("got %s", got)
	}
}
