package targets

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// reference runs testdata/reference.py, and returns its lines.
func reference(t *testing.T, input string, arguments ...string) []string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("python3 is not installed")
	}
	command := exec.Command(python, append([]string{"testdata/reference.py"}, arguments...)...)
	command.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBuildAgreesWithPython(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 9))
	for i := range 8 {
		hitlist, blocked, want, _ := lists(random, []Family{IPv4, IPv6}[i%2])
		if len(want) == 0 {
			continue
		}
		hits, blocks := strings.Join(hitlist, " # x\r\n\n"), strings.Join(blocked, "\n")
		got, _, err := build(t, blocks, 0, hits)
		if err != nil {
			t.Fatal(err)
		}
		if python := reference(t, "", "build", write(t, "blocklist", blocks), write(t, "hitlist", hits))[0]; hex.EncodeToString(got) != python {
			t.Fatalf("%q without %q:\n   got %x\nPython %s", hits, blocks, got, python)
		}
	}
}

func TestIndexCIDRsAgreeWithPython(t *testing.T) {
	var input strings.Builder
	counts := largeCounts()
	for _, count := range counts {
		fmt.Fprintln(&input, count)
	}
	for i, line := range reference(t, input.String(), "cidrs") {
		if got := strings.Join(IndexCIDRs(counts[i]), " "); got != line {
			t.Errorf("%d: got %s, Python %s", counts[i], got, line)
		}
	}
}

// What Python calls not global is on the default blocklist, at both ends of all its prefixes and just
// outside of them, and anywhere.
func TestDefaultBlocklist(t *testing.T) {
	const conf = "../zmap/blocklist.conf"
	list, err := OpenBlocklist(conf)
	if err != nil {
		t.Fatal(err)
	}
	var probes []netip.Addr
	for _, f := range []Family{IPv4, IPv6} {
		for _, p := range list.of(f) {
			first, last := p.first.addr(f), p.last().addr(f)
			probes = append(probes, first.Prev(), first, last, last.Next())
		}
	}
	random := rand.New(rand.NewPCG(6, 890))
	for range 2000 {
		probes = append(probes, ipv4(random.Uint32()), address{random.Uint64(), random.Uint64()}.addr(IPv6))
		// Where most special purposes are: 2000::/3 and 2001::/16.
		probes = append(probes, address{0x2000<<48 | random.Uint64()>>3, random.Uint64()}.addr(IPv6), address{0x2001<<48 | random.Uint64()>>16, 0}.addr(IPv6))
	}
	var input strings.Builder
	used := probes[:0]
	for _, a := range probes {
		if a.IsValid() {
			used = append(used, a)
			fmt.Fprintln(&input, a)
		}
	}
	for i, line := range reference(t, input.String(), "blocked", conf) {
		a := used[i]
		var blocked, global string
		fmt.Sscan(line, &blocked, &global)
		if ours := contains(list, a); fmt.Sprint(ours) != strings.ToLower(blocked) {
			t.Errorf("%s: blocked %t, by Python's reading of the list %s", a, ours, blocked)
		}
		if global == "False" && blocked == "False" {
			t.Errorf("%s is not global, and not blocked", a)
		}
	}
}

func contains(list *Blocklist, a netip.Addr) bool {
	for _, p := range list.of(familyOf(a)) {
		if p.first.compare(addressOf(a)) <= 0 && addressOf(a).compare(p.last()) <= 0 {
			return true
		}
	}
	return false
}

// TestAgreesWithProbeModule compares this package with the probe module's reader of target files
// (zmap-module/wire/target_file.h): they refuse the same files, and read the same targets.
func TestAgreesWithProbeModule(t *testing.T) {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no C compiler")
	}
	program := filepath.Join(t.TempDir(), "print_targets")
	const wire = "../../zmap-module/wire"
	compile := exec.Command(compiler, "-std=c11", "-D_GNU_SOURCE", "-fsanitize=address,undefined", "-I", wire, "-o", program,
		"testdata/print_targets.c", wire+"/target_file.c", wire+"/error_line.c")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	random := rand.New(rand.NewPCG(9, 1))
	read, refused := 0, 0
	for i := range 160 {
		hitlist, blocked, want, _ := lists(random, []Family{IPv4, IPv6}[i%2])
		if len(want) == 0 {
			continue
		}
		content := targetFile(want)
		if i < 20 {
			if content, _, err = build(t, strings.Join(blocked, "\n"), 0, strings.Join(hitlist, "\n")); err != nil {
				t.Fatal(err)
			}
		} else {
			content = damaged(random, content)
		}
		path := write(t, "hitlist.targets", string(content))
		out, err := exec.Command(program, path).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
			t.Fatalf("%v: %s", err, out)
		}
		file, openErr := Open(path)
		if (openErr == nil) != (err == nil) {
			t.Fatalf("%q: Go says %v, C %q", content[:min(40, len(content))], openErr, out)
		}
		if openErr != nil {
			refused++
			continue
		}
		read++
		var ours strings.Builder
		for i := range file.Count {
			a, err := file.At(i)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&ours, "%x\n", a.AsSlice())
		}
		file.Close()
		if ours.String() != string(out) {
			t.Fatalf("%x:\nGo %s\nC %s", content, ours.String(), out)
		}
	}
	if read < 30 || refused < 30 {
		t.Errorf("%d files read, %d refused: the comparison says little", read, refused)
	}
}

// damaged changes a file in one place, mostly of its header.
func damaged(random *rand.Rand, content []byte) []byte {
	switch random.IntN(4) {
	case 0:
		return content[:random.IntN(len(content))]
	case 1:
		return append(content, make([]byte, 1+random.IntN(20))...)
	case 2:
		content[random.IntN(headerSize)] ^= 1 << random.IntN(8)
	case 3:
		content[random.IntN(len(content))] = byte(random.Uint32())
	}
	return content
}
