package zmap

import (
	"database/sql"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The line as the contract in zmap-module/wire/counts.h has it.
const countsLine = `{"packets_sent":10,"send_failures":1,"received":9,"invalid":3,"invalid_by_reason":{"wrong-ack":2,"truncated":1}}`

func TestModuleCounts(t *testing.T) {
	unknown := sql.Null[uint64]{}
	for _, test := range []struct {
		name, text                        string
		sent, failures, received, invalid sql.Null[uint64]
		bad                               bool
	}{
		{"all", countsLine, null(uint64(10)), null(uint64(1)), null(uint64(9)), null(uint64(3)), false},
		{"ZMap 4 sends itself", `{"received":9,"invalid":0,"invalid_by_reason":{}}`, unknown, unknown, null(uint64(9)), null(uint64(0)), false},
		{"new numbers", `{"received":9,"invalid":0,"invalid_by_reason":{},"more":[1]}`, unknown, unknown, null(uint64(9)), null(uint64(0)), false},
		{"64 bits", `{"received":18446744073709551615,"invalid":18446744073709551615,"invalid_by_reason":{"a":18446744073709551615}}`,
			unknown, unknown, null(uint64(1<<64 - 1)), null(uint64(1<<64 - 1)), false},
		{"65 bits", `{"received":18446744073709551616,"invalid":0}`, unknown, unknown, unknown, unknown, true},
		{"negative", `{"received":-1,"invalid":0}`, unknown, unknown, unknown, unknown, true},
		{"fraction", `{"received":1.5,"invalid":0}`, unknown, unknown, unknown, unknown, true},
		{"text", `{"received":"9","invalid":0}`, unknown, unknown, unknown, unknown, true},
		{"more invalid than received", `{"received":1,"invalid":2,"invalid_by_reason":{"a":2}}`, unknown, unknown, unknown, unknown, true},
		{"reasons miss some", `{"received":9,"invalid":2,"invalid_by_reason":{"a":1}}`, unknown, unknown, unknown, unknown, true},
		{"reasons wrap around", `{"received":9,"invalid":2,"invalid_by_reason":{"a":18446744073709551615,"b":3}}`, unknown, unknown, unknown, unknown, true},
		{"not all", `{"packets_sent":1,"send_failures":0}`, unknown, unknown, unknown, unknown, true},
		{"cut", countsLine[:40], unknown, unknown, unknown, unknown, true},
		{"two on a line", countsLine + " " + countsLine, unknown, unknown, unknown, unknown, true},
		{"junk", "{}{", unknown, unknown, unknown, unknown, true},
		{"nothing", "", unknown, unknown, unknown, unknown, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseModuleCounts(test.text)
			if (err != nil) != test.bad {
				t.Fatalf("error %v", err)
			}
			c := metadata{}.counts(got)
			if c.ProbesSent != test.sent || c.SendFailures != test.failures || c.Received != test.received || c.Invalid != test.invalid {
				t.Errorf("got %+v", c)
			}
		})
	}
}

// What the module's line says reaches Wait's result once it is trusted: it stands alone, and can be read.
func TestCountsFromMessages(t *testing.T) {
	for name, test := range map[string]struct {
		stderr   string
		sent     uint64 // 7 is ZMap's own number
		failures sql.Null[uint64]
		warnings int
	}{
		"one line":       {ModuleName + countsMark + countsLine + "\n", 10, null(uint64(1)), 0},
		"no line":        {"", 7, sql.Null[uint64]{}, 0},
		"two lines":      {ModuleName + countsMark + countsLine + "\n" + ModuleName + countsMark + countsLine + "\n", 7, sql.Null[uint64]{}, 0},
		"no JSON":        {ModuleName + countsMark + "many\n", 7, sql.Null[uint64]{}, 1},
		"another line":   {"x" + ModuleName + countsMark + countsLine + "\n", 7, sql.Null[uint64]{}, 1},
		"a line of 1 MB": {ModuleName + countsMark + strings.Repeat("9", 1<<20) + "\n", 7, sql.Null[uint64]{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			text := filepath.Join(t.TempDir(), "stderr")
			if err := os.WriteFile(text, []byte(test.stderr), 0o644); err != nil {
				t.Fatal(err)
			}
			p, m, err := startScript(t, t.Context(), Scan{}, statusLine+"cat "+text+" >&2\n"+writeMetadata)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, p.Rows); err != nil {
				t.Fatal(err)
			}
			got, err := p.Wait()
			if err != nil || got.Counts.ProbesSent != null(test.sent) || got.Counts.SendFailures != test.failures {
				t.Errorf("got %+v, %v", got, err)
			}
			if len(m.warned) != test.warnings {
				t.Errorf("warned: %q", m.warned)
			}
		})
	}
}

// A trace has the counts of its own module.
func TestCountsOfTrace(t *testing.T) {
	for _, test := range []struct {
		module string
		sent   uint64 // 7 is ZMap's own number
	}{{TraceModuleName, 10}, {ModuleName, 7}} {
		p, _, err := startScript(t, t.Context(), Scan{FirstTTL: 1, LastTTL: 24},
			statusLine+"echo '"+test.module+countsMark+countsLine+"' >&2\n"+writeMetadata)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, p.Rows); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Wait(); err != nil || got.Counts.ProbesSent != null(test.sent) {
			t.Errorf("%s: got %+v, %v", test.module, got, err)
		}
	}
}

// Metadata as ZMap's summary.c writes it, in both versions' names.
func TestMetadata(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		targets sql.Null[uint64]
		want    Counts
		bad     bool
	}{
		"2.1.1": {
			`{"blacklist_total_allowed": 65536, "total_sent": 100, "send_to_failures": 30, "pcap_recv": 90, "pcap_drop": 4,
			  "pcap_ifdrop": 0, "success_total": 50, "success_unique": 48, "success_cooldown_total": 3, "success_cooldown_unique": 2}`,
			null(uint64(65536)),
			// Its failures are tries, of which a packet has several.
			Counts{ProbesSent: null(uint64(100)), KernelDrops: null(uint64(4)), InterfaceDrops: null(uint64(0)),
				Duplicates: null(uint64(2)), AnsweredInCooldown: null(uint64(2))}, false,
		},
		"unsigned numbers printed as signed": {
			`{"pcap_drop": -1, "pcap_ifdrop": -2147483648}`, sql.Null[uint64]{},
			Counts{KernelDrops: null(uint64(1<<32 - 1)), InterfaceDrops: null(uint64(1 << 31))}, false,
		},
		"4": {
			`{"blocklist_total_allowed": 9, "packets_sent": 100, "send_to_failures": 30, "pcap_drop": 0, "pcap_ifdrop": 1,
			  "success_total": 5, "success_unique": 5, "success_cooldown_unique": 0, "hitrate": NaN}`,
			null(uint64(9)),
			Counts{ProbesSent: null(uint64(70)), SendFailures: null(uint64(30)), KernelDrops: null(uint64(0)), InterfaceDrops: null(uint64(1)),
				Duplicates: null(uint64(0)), AnsweredInCooldown: null(uint64(0))}, false,
		},
		"more targets than SYN-ACKs": {`{"success_total": 1, "success_unique": 2}`, sql.Null[uint64]{}, Counts{}, false},
		"nothing known":              {`{}`, sql.Null[uint64]{}, Counts{}, false},
		"cut":                        {`{"total_sent": 1`, sql.Null[uint64]{}, Counts{}, true},
		"empty":                      {``, sql.Null[uint64]{}, Counts{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "metadata")
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			m, err := readMetadata(path)
			if (err != nil) != test.bad {
				t.Fatalf("error %v", err)
			}
			if got := m.counts(moduleCounts{}); got != test.want || m.allowed() != test.targets {
				t.Errorf("got %+v, targets %+v\nwant %+v, %+v", got, m.allowed(), test.want, test.targets)
			}
		})
	}
}
