package main

import (
	"database/sql"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/report"
)

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:  "report",
		Usage: "make the report of a classified dataset: a page, its tables and figures",
		Description: "DIR/index.html is one self-contained page, which opens from disk without a network. Beside it are all tables\n" +
			"as CSV and Markdown (tables/) and all figures as SVG and PNG (figures/). A report that DIR holds is replaced;\n" +
			"a folder with anything else in it is refused.\n\n" +
			"Example:\n\n" +
			"  mpcensus report --dataset census --out report",
		Flags: []cli.Flag{
			datasetFlag(),
			&cli.StringFlag{Name: "out", Usage: "`DIR` for the report (required)"},
		},
		Action: func(c *cli.Context) error {
			if err := need(c, "out"); err != nil {
				return err
			}
			return withDataset(c, func(db *sql.DB) error {
				status := newStatusLine()
				defer status.done()
				census, err := report.Read(c.Context, db, c.String("dataset"), func(done string) { status.update("read " + done) })
				if err != nil {
					return err
				}
				page, err := report.Write(c.Context, c.String("out"), census, report.Origin{
					Dataset: c.String("dataset"),
					Tool:    "mpcensus " + version,
					Made:    time.Now(),
				}, status.update)
				if err != nil {
					return err
				}
				status.done()
				fmt.Fprintf(c.App.Writer, "report: %s\n", page)
				return nil
			})
		},
	}
}
