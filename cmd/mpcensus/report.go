package main

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/mpcensus/mpcensus/pipeline/classify"
	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/report"
)

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:  "report",
		Usage: "draw the figures of a classified dataset",
		Description: "Makes hamming-SCAN.png and hamming-SCAN.svg for each scan in which keys came back.\n\n" +
			"Example:\n\n" +
			"  mpcensus report --dataset census --out figures",
		Flags: []cli.Flag{
			datasetFlag(),
			&cli.StringFlag{Name: "out", Usage: "`DIR` for the figures (required)"},
		},
		Action: func(c *cli.Context) error {
			if err := need(c, "out"); err != nil {
				return err
			}
			dir, out := c.String("dataset"), c.String("out")
			if err := os.MkdirAll(out, 0o755); err != nil {
				return err
			}
			return eachScan(c, func(db *sql.DB, scan classify.Scan) error {
				if _, err := os.Stat(scan.Path(dir, "hosts", scan.ID, dataset.Parquet)); err != nil {
					return fmt.Errorf("scan %s is not classified: run mpcensus classify --dataset %s", scan.ID, dir)
				}
				byVerdict, err := report.KeysByVerdict(c.Context, db, scan.ID)
				if err != nil {
					return err
				}
				for _, format := range []string{"png", "svg"} {
					var figure bytes.Buffer
					err := report.HammingPlot(&figure, format, "Scan "+scan.ID, byVerdict)
					if errors.Is(err, report.ErrTooFewKeys) {
						fmt.Fprintf(c.App.Writer, "scan %s: no Hamming plot: %v\n", scan.ID, err)
						break
					}
					if err != nil {
						return err
					}
					path := filepath.Join(out, "hamming-"+scan.ID+"."+format)
					if err := os.WriteFile(path, figure.Bytes(), 0o644); err != nil {
						return err
					}
					fmt.Fprintln(c.App.Writer, path)
				}
				return nil
			})
		},
	}
}
