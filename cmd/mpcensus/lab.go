package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/lab/netlab"
	"github.com/mpcensus/mpcensus/lab/networks"
	"github.com/mpcensus/mpcensus/lab/scenario"
	"github.com/mpcensus/mpcensus/lab/truth"
)

func labCommand() *cli.Command {
	dir := &cli.StringFlag{Name: "dir", Usage: "keep the lab's state in `DIR`", DefaultText: "in the user's runtime directory"}
	population := &cli.StringFlag{Name: "scenario", Usage: "take the population from `FILE`", DefaultText: "built in"}
	return &cli.Command{
		Name:  "lab",
		Usage: "simulate hosts to scan, in network namespaces that nothing leaves",
		Description: "Example:\n\n" +
			"  mpcensus lab up\n" +
			"  mpcensus lab exec -- ping -c 1 198.19.0.1\n" +
			"  mpcensus lab down",
		Action: noSuchCommand,
		Subcommands: []*cli.Command{
			{
				Name:        "up",
				Usage:       "start the lab",
				Description: "Example: mpcensus lab up --scenario small.yaml",
				Flags:       []cli.Flag{dir, population},
				Action:      labUp,
			},
			{
				Name:        "down",
				Usage:       "end the lab",
				Description: "Example: mpcensus lab down",
				Flags:       []cli.Flag{dir},
				Action:      labDown,
			},
			{
				Name:        "status",
				Usage:       "count the SYNs that arrived and the replies that were sent",
				Description: "Example: mpcensus lab status --json",
				Flags:       []cli.Flag{dir, &cli.BoolFlag{Name: "json", Usage: "print one JSON object"}},
				Action:      labStatus,
			},
			{
				Name:        "exec",
				Usage:       "run a command where the scanner stands, or elsewhere in the lab",
				ArgsUsage:   "-- COMMAND [ARGUMENT...]",
				Description: "Example: mpcensus lab exec -- curl http://198.19.0.1/",
				Flags: []cli.Flag{dir,
					&cli.StringFlag{Name: "in", Usage: "network namespace `NAME`: scanner, internet (the other end of its links, where a capture sees its probes), router, …", Value: netlab.ScannerNamespace}},
				Action: labExec,
			},
			{
				Name:        "truth",
				Usage:       "write what each target really is, as Parquet",
				Description: "Example: mpcensus lab truth --out truth.parquet",
				Flags:       []cli.Flag{population, &cli.StringFlag{Name: "out", Usage: "write to `FILE` (required)"}},
				Action:      labTruth,
			},
			{
				Name:        "paths",
				Usage:       "write what stands on the way to each target, and what traces should find, as Parquet",
				Description: "Example: mpcensus lab paths --out paths.parquet",
				Flags:       []cli.Flag{population, &cli.StringFlag{Name: "out", Usage: "write to `FILE` (required)"}},
				Action:      labPaths,
			},
			{
				Name:        "hitlist",
				Usage:       "write the IPv6 targets, one a line",
				Description: "Example: mpcensus lab hitlist --out hitlist.txt",
				Flags:       []cli.Flag{population, &cli.StringFlag{Name: "out", Usage: "write to `FILE` (required)"}},
				Action:      labHitlist,
			},
			{
				Name:        "chains",
				Usage:       "write the addresses of the real hosts behind chains of routers, one a line",
				Description: "Example: mpcensus lab chains --out chains.txt",
				Flags:       []cli.Flag{&cli.StringFlag{Name: "out", Usage: "write to `FILE` (required)"}},
				Action:      labChains,
			},
			{
				Name:        "networks",
				Usage:       "write invented autonomous systems and countries of the lab's addresses, as CSV",
				Description: "Example: mpcensus lab networks --out networks",
				Flags:       []cli.Flag{&cli.StringFlag{Name: "out", Usage: "`DIR` for the four files (required)"}},
				Action:      labNetworks,
			},
			labCheckCommand(dir),
			labRowsCommand(),
			labHistoryCommand(population),
			labTracesCommand(population),
			{
				Name:   "keeper",
				Hidden: true, // started by `lab up`
				Action: func(*cli.Context) error { return netlab.Keep() },
			},
		},
	}
}

// labDir is where the lab keeps its state.
func labDir(c *cli.Context) (string, error) {
	if dir := c.String("dir"); dir != "" {
		return dir, nil
	}
	return netlab.DefaultDir()
}

// labScenario is the chosen scenario's name and text.
func labScenario(c *cli.Context) (string, []byte, error) {
	name := c.String("scenario")
	if name == "" {
		return "default.yaml", scenario.DefaultYAML, nil
	}
	text, err := os.ReadFile(name)
	return name, text, err
}

func labUp(c *cli.Context) error {
	dir, err := labDir(c)
	if err != nil {
		return err
	}
	name, text, err := labScenario(c)
	if err != nil {
		return err
	}
	if _, err := scenario.Parse(name, text); err != nil {
		return err
	}
	state, err := netlab.Up(c.Context, dir, name, text)
	if errors.Is(err, netlab.ErrUp) {
		fmt.Fprintln(c.App.Writer, err)
		return nil
	}
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "targets\t%v and %d IPv6 addresses, ports %v (%s)\n", state.Ranges, state.IPv6Addresses, state.Ports, state.Scenario)
	for _, h := range scenario.Hosts {
		fmt.Fprintf(w, "real host\t%s, %s, ports %v: %s\n", h.IPv4, h.IPv6, scenario.HostPorts, h.Behaviour.Wire())
	}
	for _, chain := range scenario.Chains {
		fmt.Fprintf(w, "chain\t%s, %s, %d routers: %s: %s\n", chain.IPv4, chain.IPv6, len(chain.Routers), chain.Name, chain.Wire)
	}
	fmt.Fprintf(w, "hostile servers\t%d in %s, %d in %s, ports %v\n",
		scenario.HostileCount, scenario.HostileServers, scenario.HostileCount6, scenario.HostileServers6, scenario.HostPorts)
	fmt.Fprintf(w, "scan from\t%s and %s on %s, gateway %s at %s\n",
		state.Source, state.SourceIPv6, state.Interface, state.Gateway, state.GatewayMAC)
	fmt.Fprintf(w, "without IPv4\t%s on %s, gateway %s at %s\n",
		state.IPv6Only.SourceIPv6, state.IPv6Only.Interface, state.IPv6Only.GatewayIPv6, state.IPv6Only.GatewayMAC)
	fmt.Fprintf(w, "blocklist\t%s\n", state.Blocklist)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	exec := self + " lab exec"
	if c.IsSet("dir") {
		exec += " --dir " + dir
	}
	scan := fmt.Sprintf("%s -- %s scan --dataset census --port 443 --rate 20000 --blocklist %s", exec, self, state.Blocklist)
	if len(state.Ranges) > 0 {
		fmt.Fprintf(w, "scan with\t%s %s\n", scan, state.Ranges[0])
	}
	if state.IPv6Addresses > 0 {
		hitlist := self + " lab hitlist --out hitlist.txt"
		if c.IsSet("scenario") {
			hitlist += " --scenario " + name
		}
		fmt.Fprintf(w, "IPv6\t%s --targets hitlist.txt, after %s\n", scan, hitlist)
	}
	return w.Flush()
}

func labDown(c *cli.Context) error {
	dir, err := labDir(c)
	if err != nil {
		return err
	}
	if err := netlab.Down(dir); !errors.Is(err, netlab.ErrNotUp) {
		return err
	}
	fmt.Fprintln(c.App.Writer, "the lab is not up")
	return nil
}

func labStatus(c *cli.Context) error {
	dir, err := labDir(c)
	if err != nil {
		return err
	}
	state, err := netlab.Status(dir)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(state)
	}
	p := state.Population
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "behaviour\tfamily\tport\tprobe\tSYNs\ttargets\treplies\t")
	for _, t := range p.Targets {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%d\t%d\t\n", t.Behaviour, t.Family, t.Port, t.Probe, t.SYNs, t.Targets, t.Replies)
	}
	fmt.Fprintf(w, "all\t\t\t\t%d\t\t%d\t\n", p.SYNs, p.Replies)
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "SYNs to targets that had got one %d, to chains %d, to strangers %d, ignored %d, damaged %d, lost by the lab %d; replies lost by the lab %d; forged packets %d\n",
		p.Repeated, p.Chains, p.Strangers, p.Ignored, p.Invalid, p.Dropped, p.Unsent, p.Forged)
	fmt.Fprintf(c.App.Writer, "of traces and kernels: SYNs %d, Time Exceeded sent %d, replies %d\n", p.Traced.SYNs, p.Traced.Exceeded, p.Traced.Replies)
	if state.Problem != "" {
		return errors.New(state.Problem)
	}
	return nil
}

// labExec becomes the command, so that signals and its exit status need no
// passing on.
func labExec(c *cli.Context) error {
	if !c.Args().Present() {
		return usageErrorf("no command: give one, as in `mpcensus lab exec -- ip route`")
	}
	dir, err := labDir(c)
	if err != nil {
		return err
	}
	argv, err := netlab.Command(dir, c.String("in"), c.Args().Slice()...)
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", argv[0], syscall.Exec(argv[0], argv, os.Environ()))
}

func labTruth(c *cli.Context) error {
	return labWrite(c, "rows", truth.Write)
}

func labPaths(c *cli.Context) error {
	return labWrite(c, "rows", truth.WritePaths)
}

func labHitlist(c *cli.Context) error {
	return labWrite(c, "targets", truth.WriteHitlist)
}

func labNetworks(c *cli.Context) error {
	if err := needOut(c); err != nil {
		return err
	}
	return networks.Write(c.String("out"))
}

func labChains(c *cli.Context) error {
	if err := needOut(c); err != nil {
		return err
	}
	n, err := truth.WriteChains(c.String("out"))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: %d targets\n", c.String("out"), n)
	return nil
}

// needOut wants --out of a command without arguments.
func needOut(c *cli.Context) error {
	if c.Args().Present() {
		return usageErrorf("unexpected argument %q: see %s --help", c.Args().First(), c.Command.HelpName)
	}
	return need(c, "out")
}

// labWrite writes what can be known of a scenario without a running lab.
func labWrite(c *cli.Context, what string, write func(path string, s *scenario.Scenario) (int, error)) error {
	if err := need(c, "out"); err != nil {
		return err
	}
	name, text, err := labScenario(c)
	if err != nil {
		return err
	}
	s, err := scenario.Parse(name, text)
	if err != nil {
		return err
	}
	n, err := write(c.String("out"), s)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: %d %s\n", c.String("out"), n, what)
	return nil
}
