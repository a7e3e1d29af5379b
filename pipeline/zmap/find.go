// Package zmap finds ZMap and the project's probe module, runs a scan with them, and decodes the
// JSON rows that come out.
package zmap

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// SupportedVersion is the stock ZMap that the plug-in was made for (Debian and Ubuntu ship it).
const SupportedVersion = "2.1.1"

// The probe modules' names for ZMap's --probe-module.
const (
	ModuleName      = "mptcp_synscan"
	TraceModuleName = "mptcp_trace"
)

// Errors of Find.
var (
	ErrNoZMap   = errors.New("zmap not found: install it (apt-get install zmap) or name it with --zmap PATH")
	ErrNoModule = errors.New("probe module mptcp.so not found beside mpcensus: run make build")
)

// Installation is a ZMap and the probe module to load into it.
type Installation struct {
	Path    string // of the zmap binary
	Version string // as the binary says, for example "2.1.1"
	Module  string // path of mptcp.so; empty where the module is compiled in
}

// builtIn says whether the ZMap is of a version into which the module is compiled.
func (i Installation) builtIn() bool { return strings.HasPrefix(i.Version, "4.") }

// Find looks for ZMap (at path, or where the system keeps it when path is empty) and for the probe
// module. That of ZMap 2.1.1 lives beside this program or in ../lib/mpcensus; a ZMap 4 must have been
// built with it. With ErrNoModule, Find still says which ZMap was found.
func Find(path string) (Installation, error) {
	zmap, err := findBinary(path)
	if err != nil {
		return Installation{}, err
	}
	version, err := binaryVersion(zmap)
	if err != nil {
		return Installation{}, err
	}
	found := Installation{Path: zmap, Version: version}
	switch {
	case found.builtIn():
		if found.ListsModule() != nil {
			return found, fmt.Errorf("%s is ZMap %s without %s and %s: build it with the modules (zmap-module/zmap4), or name another with --zmap PATH",
				zmap, version, ModuleName, TraceModuleName)
		}
		return found, nil
	case version != SupportedVersion:
		return Installation{}, fmt.Errorf("%s is ZMap %s, but the probe module is made for %s and 4: name another with --zmap PATH",
			zmap, version, SupportedVersion)
	}
	found.Module, err = findModule()
	return found, err
}

// environment is ZMap's, with the plug-in loaded. Where TZ is not set, glibc looks at /etc/localtime for each row
// that is printed, which was a sixth of the receive thread's time.
func (i Installation) environment() []string {
	if i.builtIn() {
		return nil // this process's
	}
	return append(os.Environ(), "LD_PRELOAD="+i.Module, "TZ=UTC")
}

// ListsModule asks ZMap whether it has the probe modules.
func (i Installation) ListsModule() error {
	list := exec.Command(i.Path, "--config=/dev/null", "--list-probe-modules")
	list.Env = i.environment()
	out, err := list.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s with the probe module: %w: %s", i.Path, err, strings.TrimSpace(string(out)))
	}
	for _, name := range []string{ModuleName, TraceModuleName} {
		if !slices.Contains(strings.Fields(string(out)), name) {
			return fmt.Errorf("%s does not list %s", i.Path, name)
		}
	}
	return nil
}

func findBinary(path string) (string, error) {
	if path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("zmap at %s: %w", path, err)
		}
		return found, nil
	}
	// An ordinary user's PATH often lacks sbin, where Debian puts zmap.
	for _, candidate := range []string{"zmap", "/usr/local/sbin/zmap", "/usr/sbin/zmap"} {
		if found, err := exec.LookPath(candidate); err == nil {
			return found, nil
		}
	}
	return "", ErrNoZMap
}

func binaryVersion(path string) (string, error) {
	// Without --config, ZMap reads one that another version's options may have made unreadable to it.
	out, err := exec.Command(path, "--config=/dev/null", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	name, version, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if !ok || name != "zmap" {
		return "", fmt.Errorf("%s --version: printed %.40q, which is not ZMap's", path, out)
	}
	return strings.TrimPrefix(version, "v"), nil // 4 prints v4.3.4
}

func findModule() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program's folder: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", fmt.Errorf("finding this program's folder: %w", err)
	}
	folder := filepath.Dir(self)
	for _, candidate := range []string{
		filepath.Join(folder, "mptcp.so"),
		filepath.Join(folder, "..", "lib", "mpcensus", "mptcp.so"),
	} {
		if _, err := os.Stat(candidate); err != nil {
			continue
		}
		if strings.ContainsAny(candidate, " :") {
			return "", fmt.Errorf("LD_PRELOAD cannot name %q: move mpcensus to a path without spaces and colons", candidate)
		}
		return candidate, nil
	}
	return "", ErrNoModule
}
