package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say what this machine lacks for scanning, tracing and verifying, and the remedy",
		Description: "Sends nothing. Exit code 1 when something is lacking.\n\nExample:\n\n" +
			"  mpcensus doctor --zmap /usr/sbin/zmap",
		Flags: []cli.Flag{&cli.StringFlag{Name: "zmap", Usage: "`PATH` of ZMap"}},
		Action: func(c *cli.Context) error {
			lacking := examine(c.App.Writer, c.String("zmap"))
			if lacking > 0 {
				return fmt.Errorf("%d checks failed; the remedies are above", lacking)
			}
			return nil
		},
	}
}

// requirement is one thing that a stage of the census needs from the machine.
type requirement struct {
	need   string                 // the stages that need it
	name   string                 // what is looked at
	look   func() (string, error) // what was found, or what is wrong
	remedy string
}

// examine prints a line a check, with the remedy below a failed one, and returns how many failed.
func examine(w io.Writer, zmapPath string) (lacking int) {
	for _, c := range requirements(zmapPath) {
		found, err := c.look()
		if err == nil {
			fmt.Fprintf(w, "ok    %-22s %s\n", c.name, found)
			continue
		}
		lacking++
		fmt.Fprintf(w, "LACKS %-22s %v (needed to %s)\n      remedy: %s\n", c.name, err, c.need, c.remedy)
	}
	return lacking
}

func requirements(zmapPath string) []requirement {
	list := []requirement{
		{"scan, trace", "raw sockets", rawSockets,
			"run as root, or give the shell CAP_NET_RAW (setpriv, capsh); in the lab: mpcensus lab exec -- …"},
		{"scan, trace", "ZMap", func() (string, error) { return zmapVersion(zmapPath) },
			"apt-get install zmap (version " + zmap.SupportedVersion + "), or name it, or a ZMap 4 built with the module, with --zmap PATH"},
	}
	// Without ZMap nothing can be said of the module.
	if found, err := zmap.Find(zmapPath); err == nil || errors.Is(err, zmap.ErrNoModule) {
		list = append(list, requirement{"scan, trace", "probe module", func() (string, error) { return moduleLoads(found, err) },
			"make build, and keep mptcp.so beside mpcensus"})
	}
	return append(list, []requirement{
		{"scan IPv6", "IPv6 address", globalIPv6,
			"give an interface a global IPv6 address and a route; IPv4 can be scanned without"},
		{"verify", "kernel MPTCP", func() (string, error) { return sysctlIs("net/mptcp/enabled", "1") },
			"sysctl -w net.mptcp.enabled=1 (Linux 5.6 or later built with CONFIG_MPTCP)"},
		// One target that drops MPTCP SYNs turns MPTCP off for every destination for this long.
		{"verify", "blackhole timeout", func() (string, error) { return sysctlIs("net/mptcp/blackhole_timeout", "0") },
			"sysctl -w net.mptcp.blackhole_timeout=0 in the namespace that verifies"},
		{"run the lab", "network namespaces", namespaces,
			"run as root, or allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 or user.max_user_namespaces=10000"},
		{"run the lab", "nft", func() (string, error) { return program("nft") }, "apt-get install nftables"},
		{"run the lab", "nsenter", func() (string, error) { return program("nsenter") }, "apt-get install util-linux"},
	}...)
}

func rawSockets() (string, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return "", fmt.Errorf("no packet socket: %w", err)
	}
	return "allowed", unix.Close(fd)
}

func zmapVersion(path string) (string, error) {
	found, err := zmap.Find(path)
	if err != nil && !errors.Is(err, zmap.ErrNoModule) {
		return "", err
	}
	return found.Version + " at " + found.Path, nil
}

// moduleLoads takes what zmap.Find has found.
func moduleLoads(found zmap.Installation, err error) (string, error) {
	if err == nil {
		err = found.ListsModule()
	}
	if err != nil {
		return "", err
	}
	if found.Module == "" {
		return zmap.ModuleName + " is built into this ZMap", nil
	}
	return zmap.ModuleName + " in " + found.Module, nil
}

// globalIPv6 looks for an address that replies from elsewhere can reach.
func globalIPv6() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() == nil && ip.IP.IsGlobalUnicast() && !ip.IP.IsPrivate() {
			return ip.IP.String(), nil
		}
	}
	return "", errors.New("no interface has a global one")
}

func sysctlIs(name, want string) (string, error) {
	text, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return "", fmt.Errorf("this kernel has no %s", strings.ReplaceAll(name, "/", "."))
	}
	got := strings.TrimSpace(string(text))
	if got != want {
		return "", fmt.Errorf("%s is %s, not %s", strings.ReplaceAll(name, "/", "."), got, want)
	}
	return strings.ReplaceAll(name, "/", ".") + " = " + got, nil
}

// namespaces tries what the lab does, in a process that ends at once.
func namespaces() (string, error) {
	args := []string{"--net", "true"}
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user"}, args...)
	}
	if out, err := exec.Command("unshare", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("not allowed: %s", strings.TrimSpace(string(out)))
	}
	return "allowed", nil
}

func program(name string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s not found", name)
}
