package report

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"image/color"
	"io"
	"math"
	"strings"
	"unicode"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	_ "gonum.org/v1/plot/vg/vgimg" // PNG
	_ "gonum.org/v1/plot/vg/vgsvg" // SVG
)

// Figure is a drawing of the report, with the words that go with it.
type Figure struct {
	Name    string // of its files: "months"
	Title   string
	Caption string        // how to read it
	Alt     string        // what it shows, for who does not see it
	Empty   string        // why there is no drawing: "not enough data: one date"
	SVG     template.HTML // of a figure in the page: the drawing

	subtitle string
	yLabel   string // not in plot, which would reserve room for it as if the axis were linear
	height   vg.Length
	plot     *plot.Plot
	legend   []legendEntry
}

// legendEntry explains a mark, by showing it.
type legendEntry struct {
	name string
	mark plot.Thumbnailer
}

const (
	figureWidth  = 900 // points; 1200 pixels as PNG
	figureMargin = 12
)

// Okabe and Ito's palette, which people of every colour vision tell apart. What has a colour also has a
// shape, a dash or a place of its own, for print without colours.
var (
	orange    = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	skyBlue   = color.RGBA{0x56, 0xb4, 0xe9, 0xff}
	green     = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	blue      = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	vermilion = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	purple    = color.RGBA{0xcc, 0x79, 0xa7, 0xff}

	gridColor = color.Gray{0xdd}
	mutedText = color.Gray{0x44}
)

// newFigurePlot is an empty plot in the report's style.
func newFigurePlot(xLabel string) *plot.Plot {
	p := plot.New()
	p.X.Label.Text, p.X.Label.TextStyle.Font, p.X.Label.Padding = xLabel, sans(11), 5
	p.X.Tick.Label.Font, p.Y.Tick.Label.Font = sans(10), sans(10)
	return p
}

func sans(points float64) font.Font {
	f := font.From(plot.DefaultFont, vg.Points(points))
	f.Variant = "Sans"
	return f
}

func textStyle(points float64) draw.TextStyle {
	return draw.TextStyle{Color: color.Black, Font: sans(points), Handler: plot.DefaultTextHandler}
}

// explain puts a mark into the legend, which is drawn above the plot, where no data can lie below it.
func (f *Figure) explain(name string, mark plot.Thumbnailer) {
	f.legend = append(f.legend, legendEntry{name, mark})
}

// Write draws the figure; format is png or svg.
func (f *Figure) Write(w io.Writer, format string) error {
	canvas, err := draw.NewFormattedCanvas(figureWidth, f.height, format)
	if err != nil {
		return err
	}
	c := draw.New(canvas)
	c.FillPolygon(color.White, []vg.Point{{}, {X: figureWidth}, {X: figureWidth, Y: f.height}, {Y: f.height}})
	c = draw.Crop(c, figureMargin, -figureMargin, figureMargin, -figureMargin)
	c.Max.Y -= headLine(c, textStyle(13.5), f.Title)
	if f.subtitle != "" {
		muted := textStyle(10.5)
		muted.Color = mutedText
		c.Max.Y -= headLine(c, muted, f.subtitle)
	}
	c.Max.Y -= f.drawLegend(c) + vg.Points(6)
	if f.yLabel != "" {
		style := textStyle(11)
		style.Rotation, style.XAlign, style.YAlign = math.Pi/2, draw.XCenter, draw.YTop
		data := f.plot.DataCanvas(c)
		c.FillText(style, vg.Point{X: c.Min.X, Y: data.Center().Y}, f.yLabel)
		c.Min.X += 18
	}
	f.plot.Draw(c)

	if format != "svg" {
		_, err = canvas.WriteTo(w)
		return err
	}
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return err
	}
	_, err = io.WriteString(w, portableFonts.Replace(svg.String()))
	return err
}

// portableFonts names fonts of the same widths as gonum's own, for machines that do not have it.
var portableFonts = strings.NewReplacer(
	"font-family:Liberation Sans;font-variant:normal;", "font-family:'Liberation Sans',Arimo,Arial,Helvetica,sans-serif;",
)

// headLine writes a line at the top left, and returns its height.
func headLine(c draw.Canvas, style draw.TextStyle, line string) vg.Length {
	height := style.Font.Size * 1.35
	c.FillText(style, vg.Point{X: c.Min.X, Y: c.Max.Y - style.Font.Size}, line)
	return height
}

// drawLegend draws the legend in lines from the top left, and returns their height.
func (f *Figure) drawLegend(c draw.Canvas) vg.Length {
	if len(f.legend) == 0 {
		return 0
	}
	const line, markWidth, gap, between = 15, 18, 5, 16
	style := textStyle(10)
	x, y := c.Min.X, c.Max.Y-line
	for _, entry := range f.legend {
		width := markWidth + gap + style.Width(entry.name)
		if x > c.Min.X && x+width > c.Max.X {
			x, y = c.Min.X, y-line
		}
		mark := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + markWidth, Y: y + 9},
		}}
		entry.mark.Thumbnail(&mark)
		c.FillText(style, vg.Point{X: x + markWidth + gap, Y: y + 1}, entry.name)
		x += width + between
	}
	return c.Max.Y - y + 3
}

// inline makes of the figure's SVG an element of a page, which has its text read out as Alt.
func (f *Figure) inline(svg string) (template.HTML, error) {
	// What comes before the end of the opening tag is the same for all: XML's declaration and the size.
	_, drawing, found := strings.Cut(svg, `xmlns:xlink="http://www.w3.org/1999/xlink">`)
	if !found {
		return "", fmt.Errorf("figure %s: not an SVG as gonum writes them", f.Name)
	}
	return template.HTML(fmt.Sprintf(`<svg role="img" aria-label="%s" viewBox="0 0 %d %g">%s`,
		html.EscapeString(f.Alt), figureWidth, f.height.Points(), drawing)), nil
}

// label makes one line of at most 40 characters of a text that may hold anything.
func label(s string) string {
	const longest = 40
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, "?") {
		if n++; n > longest {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}
