package report

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// listName is the file in a report's folder that lists the report's files. By it a later report knows
// what it may replace.
const listName = "report-files.txt"

const pageName = "index.html"

// Origin is what the page says of its own making.
type Origin struct {
	Dataset string
	Tool    string // "mpcensus v1.2"
	Made    time.Time
}

// Write makes the report of a census in the folder dir, and returns the path of its page, index.html;
// beside it are tables/NAME.csv and .md, figures/NAME.svg and .png, and a list of all these files.
//
// A report that stands there is replaced: files that it had and this one has not are removed, others'
// files stay. Its page goes first and the new one comes last, so that what breaks off leaves no page beside
// files of another report. A folder that holds anything but a report is refused. progress is told what is
// being done; it may be nil.
func Write(ctx context.Context, dir string, c *Census, origin Origin, progress func(string)) (string, error) {
	if progress == nil {
		progress = func(string) {}
	}
	folder, err := openFolder(dir)
	if err != nil {
		return "", err
	}
	defer folder.root.Close()
	if err := folder.write(ctx, c, origin, progress); err != nil {
		return "", fmt.Errorf("report in %s: %w", dir, err)
	}
	return filepath.Join(dir, pageName), nil
}

// folder is a report's. Its root keeps what is written and removed inside it, also where a link in it
// leads elsewhere.
type folder struct {
	root  *os.Root
	files []string // of the report that is being written
	stale []string // of the one before, and not of this one
}

func (f *folder) write(ctx context.Context, c *Census, origin Origin, progress func(string)) error {
	sections, err := sections(c)
	if err != nil {
		return err
	}
	if err := f.announce(fileNames(c, sections)); err != nil {
		return err
	}
	if err := f.writeTables(c); err != nil {
		return err
	}
	if err := f.drawFigures(ctx, sections, progress); err != nil {
		return err
	}
	var page bytes.Buffer
	made := fmt.Sprintf("Made %s UTC by %s from the dataset %s.", origin.Made.UTC().Format("2006-01-02 15:04"), origin.Tool, visible(origin.Dataset))
	if err := writePage(&page, c, sections, made); err != nil {
		return err
	}
	if err := f.root.WriteFile(pageName, page.Bytes(), 0o644); err != nil {
		return errors.Join(err, f.removePage())
	}
	return f.removeStale()
}

// openFolder opens the folder of a report, and makes it if there is none.
func openFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root}
	list, err := root.ReadFile(listName)
	if errors.Is(err, fs.ErrNotExist) {
		var entries []fs.DirEntry
		if entries, err = fs.ReadDir(root.FS(), "."); err == nil && len(entries) > 0 {
			err = fmt.Errorf("%s: the folder is not empty and holds no report: name another, or empty it", dir)
		}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	for name := range strings.Lines(string(list)) {
		if name = strings.TrimSuffix(name, "\n"); reportFile.MatchString(name) {
			f.stale = append(f.stale, name)
		}
	}
	return f, nil
}

// reportFile matches the names of a report's files. A scan's name is part of some.
var reportFile = regexp.MustCompile(`^(index\.html|(tables|figures)/[A-Za-z0-9][A-Za-z0-9._-]*\.(csv|md|svg|png))$`)

// fileNames are the files of a report.
func fileNames(c *Census, sections []section) []string {
	names := []string{pageName}
	for _, t := range c.Tables() {
		names = append(names, tableFile(t, "csv"), tableFile(t, "md"))
	}
	for _, figure := range drawnFigures(sections) {
		names = append(names, figureFile(figure, "svg"), figureFile(figure, "png"))
	}
	return names
}

func tableFile(t *Table, format string) string { return "tables/" + t.Name + "." + format }

func figureFile(f *Figure, format string) string { return "figures/" + f.Name + "." + format }

// drawnFigures are all figures for which there are enough data.
func drawnFigures(sections []section) (figures []*Figure) {
	for _, s := range sections {
		for _, figure := range slices.Concat(s.inPage(), s.Linked) {
			if figure.Empty == "" {
				figures = append(figures, figure)
			}
		}
	}
	return figures
}

// announce lists the files before they are written, with those of the report before, whose page it removes:
// whatever ends the writing, the list has them, and no page shows them as one report.
func (f *folder) announce(files []string) error {
	for _, name := range files {
		if !reportFile.MatchString(name) {
			return fmt.Errorf("%q cannot be the name of a file: was the dataset's scan renamed?", name)
		}
	}
	f.files = files
	f.stale = slices.DeleteFunc(f.stale, func(name string) bool { return slices.Contains(files, name) })
	if err := f.writeList(slices.Concat(f.files, f.stale)); err != nil {
		return err
	}
	return cmp.Or(f.removePage(), f.root.MkdirAll("tables", 0o755), f.root.MkdirAll("figures", 0o755))
}

func (f *folder) removePage() error {
	if err := f.root.Remove(pageName); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f *folder) writeList(names []string) error {
	return f.root.WriteFile(listName, []byte(strings.Join(names, "\n")+"\n"), 0o644)
}

// removeStale removes what only the report before had.
func (f *folder) removeStale() error {
	for _, name := range f.stale {
		if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return f.writeList(f.files)
}

func (f *folder) writeTables(c *Census) error {
	for _, t := range c.Tables() {
		for format, write := range map[string]func(io.Writer) error{"csv": t.CSV, "md": t.Markdown} {
			var content bytes.Buffer
			if err := write(&content); err != nil {
				return err
			}
			if err := f.root.WriteFile(tableFile(t, format), content.Bytes(), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// drawFigures draws all figures, on all cores, and keeps the SVG of those in the page.
func (f *folder) drawFigures(ctx context.Context, sections []section, progress func(string)) error {
	figures := drawnFigures(sections)
	inPage := make(map[*Figure]bool)
	for _, s := range sections {
		for _, figure := range s.inPage() {
			inPage[figure] = true
		}
	}
	work := make(chan *Figure, len(figures))
	for _, figure := range figures {
		work <- figure
	}
	close(work)

	drawing, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var workers sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for figure := range work {
				if drawing.Err() != nil {
					return
				}
				if err := f.drawFigure(figure, inPage[figure]); err != nil {
					stop(err)
					return
				}
				mu.Lock()
				done++
				progress(fmt.Sprintf("figures: %d of %d", done, len(figures)))
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return cmp.Or(ctx.Err(), context.Cause(drawing))
}

func (f *folder) drawFigure(figure *Figure, inPage bool) error {
	for _, format := range []string{"svg", "png"} {
		var content bytes.Buffer
		if err := figure.Write(&content, format); err != nil {
			return fmt.Errorf("figure %s: %w", figure.Name, err)
		}
		if format == "svg" && inPage {
			var err error
			if figure.SVG, err = figure.inline(content.String()); err != nil {
				return err
			}
		}
		if err := f.root.WriteFile(figureFile(figure, format), content.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
