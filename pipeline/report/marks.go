package report

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// dot is a mark of one count.
type dot struct{ draw.GlyphStyle }

func newDot(c color.Color, shape draw.GlyphDrawer) dot {
	return dot{draw.GlyphStyle{Color: c, Radius: vg.Points(3.2), Shape: shape}}
}

// Thumbnail implements plot.Thumbnailer.
func (d dot) Thumbnail(c *draw.Canvas) { c.DrawGlyph(d.GlyphStyle, c.Center()) }

// diamond is a mark that gonum lacks.
type diamond struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (diamond) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	r := style.Radius
	c.FillPolygon(style.Color, []vg.Point{
		{X: at.X - r, Y: at.Y}, {X: at.X, Y: at.Y + r}, {X: at.X + r, Y: at.Y}, {X: at.X, Y: at.Y - r},
	})
}

// swatch is a legend's mark of an area.
type swatch struct{ color.Color }

// Thumbnail implements plot.Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.Color, []vg.Point{c.Min, {X: c.Min.X, Y: c.Max.Y}, c.Max, {X: c.Max.X, Y: c.Min.Y}})
}

// note is a text at a place of the plot; offset moves it away from there.
type note struct {
	at     plotter.XY
	text   string
	style  draw.TextStyle
	offset vg.Point
}

// notes are texts in a plot. gonum's own labels reserve room outside the axes for them.
type notes []note

// Plot implements plot.Plotter.
func (ns notes) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, n := range ns {
		c.FillText(n.style, vg.Point{X: x(n.at.X), Y: y(n.at.Y)}.Add(n.offset), n.text)
	}
}
