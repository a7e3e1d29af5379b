package zmap

// shapes is a tree of the ways in which lines have been printed. A path from its root is a line without the
// values of its fields: names, order, spacing, what is null and what common says are all in the steps, byte
// by byte. As each path was taken from a legal line, and values are read strictly, a line that follows one is
// valid JSON and has no member twice.
type shapes struct {
	root step
	size int // bytes in the steps
}

// step is the text that is printed before a value, and then the value's field; at the end of a line,
// endOfRow.
type step struct {
	before literal // from the end of the value before it, as in `, "probe": "v0", "tcp_options": `
	field  field
	next   []*step // what has followed
	common *common // at the end of a line
}

// Rows as programs print them need some KiB and a dozen next steps. The limits are for hostile input.
const (
	maxShape  = 4 << 10   // bytes of one shape
	maxShapes = 128 << 10 // bytes of all shapes
	maxNext   = 32
)

// readKnown reads a line of a known shape. If it is none, or if a value is not one that take understands,
// it returns false, and the row is of no use.
func (d *Decoder) readKnown(line []byte) bool {
	at := &d.shapes.root
next:
	for _, s := range at.next {
		if !s.before.begins(line) {
			continue
		}
		value := line[len(s.before.text):]
		if s.field == endOfRow {
			if len(value) > 0 {
				continue
			}
			d.common = *s.common
			return true
		}
		if n := d.take(s.field, value); n > 0 {
			at, line = s, value[n:]
			goto next
		}
	}
	return false
}

// learn adds the shape of a legal line.
func (s *shapes) learn(line []byte, members []member, said common) {
	size := len(line)
	for _, m := range members {
		if !m.field.isCommon() {
			size -= m.end - m.start
		}
	}
	if size > maxShape {
		return
	}
	if s.size+size > maxShapes {
		*s = shapes{} // those in use are soon back
	}
	at, end := &s.root, 0
	for _, m := range members {
		if !m.field.isCommon() {
			at = s.step(at, string(line[end:m.start]), m.field)
			end = m.end
		}
	}
	s.step(at, string(line[end:]), endOfRow).common = &said
}

// step returns the step behind at with this text and field, a new one if there is none yet.
func (s *shapes) step(at *step, before string, f field) *step {
	for _, known := range at.next {
		if known.field == f && known.before.text == before {
			return known
		}
	}
	if len(at.next) == maxNext {
		at.next = nil
	}
	added := &step{before: newLiteral(before), field: f}
	at.next = append(at.next, added)
	s.size += len(before)
	return added
}
