// Command mpcensus takes a census of Multipath TCP: it scans with ZMap, turns the replies into a
// dataset, and concludes who really speaks MPTCP.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// version is set by the Makefile from git.
var version = "unknown"

// Exit codes. 0 is success.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitRejected = 3 // done, but more rows were rejected than allowed
)

// exitError is an error with an exit code other than exitFailed.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

// usageErrorf is for a command line that cannot be carried out.
func usageErrorf(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Sprintf(format, args...)}
}

func main() {
	// A lost terminal ends work as Ctrl-C does. The second signal ends the program at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	// Output that nobody reads (as in "| head") is an error of that write, not the end of the program.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := newApp().RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "mpcensus:", errorLine(err))
		os.Exit(exitCode(err))
	}
}

// errorLine is an error in one line, and in the user's words.
func errorLine(err error) string {
	return strings.NewReplacer("\n", "; ", context.Canceled.Error(), "interrupted").Replace(err.Error())
}

// oneLine joins errors in one line.
func oneLine(first, second error) error {
	if second == nil {
		return first
	}
	return fmt.Errorf("%w; %w", first, second)
}

func exitCode(err error) int {
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitFailed
}

func newApp() *cli.App {
	app := &cli.App{
		Name:    "mpcensus",
		Usage:   "a census of Multipath TCP on the Internet",
		Version: version,
		Description: "Data flows scan → replies → hosts → report, all of it in one dataset folder:\n\n" +
			"  mpcensus scan --dataset census --port 443 --probe v1 --targets hitlist.txt\n" +
			"  mpcensus classify --dataset census\n" +
			"  mpcensus report --dataset census --out report",
		Commands: []*cli.Command{
			targetsCommand(),
			scanCommand(),
			ingestCommand(),
			datasetCommand(),
			classifyCommand(),
			traceCommand(),
			verifyCommand(),
			enrichCommand(),
			queryCommand(),
			reportCommand(),
			campaignCommand(),
			labCommand(),
			doctorCommand(),
		},
		HideHelpCommand: true,
		Action:          noSuchCommand,
		// A comma may be in the name of a file.
		DisableSliceFlagSeparator: true,
		// main prints errors, once and as one line.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   usageError,
	}
	refuseWrongUsage(app.Commands)
	return app
}

// refuseWrongUsage makes commands answer unknown and misplaced flags with one line.
func refuseWrongUsage(commands []*cli.Command) {
	for _, command := range commands {
		command.OnUsageError = usageError
		command.HideHelpCommand = true
		// What stands behind "--" is somebody else's command line.
		if command.Subcommands == nil && !strings.HasPrefix(command.ArgsUsage, "--") {
			command.Before = flagsFirst
		}
		refuseWrongUsage(command.Subcommands)
	}
}

// flagsFirst refuses flags behind arguments, which would be taken for arguments, and missed.
func flagsFirst(c *cli.Context) error {
	for _, arg := range c.Args().Slice() {
		if len(arg) > 1 && arg[0] == '-' {
			return usageErrorf("%s stands behind %s: flags come before arguments", arg, c.Args().First())
		}
	}
	return nil
}

// noSuchCommand is what a command does whose arguments name none of its subcommands.
func noSuchCommand(c *cli.Context) error {
	if c.Args().Present() {
		return usageErrorf("no command %q: see %s --help", c.Args().First(), c.Command.HelpName)
	}
	if len(c.Lineage()) > 2 { // the app's context stands behind that of a subcommand
		return cli.ShowSubcommandHelp(c)
	}
	return cli.ShowAppHelp(c)
}

// usageError turns urfave/cli's complaint about flags into one line and the right exit code.
func usageError(c *cli.Context, err error, _ bool) error {
	return usageErrorf("%v: see %s --help", err, c.Command.HelpName)
}
