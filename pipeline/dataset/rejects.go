package dataset

import (
	"bufio"
	"context"
	"encoding/json"
	"unicode"
	"unicode/utf8"
)

// Reject is a line of the input that is not in the dataset, and why. docs/tables.md has the fields' comments.
type Reject struct {
	Line   int64  `json:"line"`   // number of the line in the input, from 1
	Offset int64  `json:"offset"` // of its first byte in the input, decompressed, in bytes
	Length int64  `json:"length"` // in bytes, without the line end
	Reason string `json:"reason"` // why, as in the list below
	Detail string `json:"detail"` // the same with the value or the place that is wrong

	// One of them is there, as SetRaw chooses.
	Raw       *string `json:"raw,omitempty"`        // the first 65,536 bytes of the line, without the line end
	RawBase64 []byte  `json:"raw_base64,omitempty"` // in place of `raw` when they are no text, or have control characters
}

// SetRaw keeps the line's bytes, or a copy of them.
func (r *Reject) SetRaw(line []byte) {
	r.Raw, r.RawBase64 = nil, nil
	if isText(line) {
		text := string(line)
		r.Raw = &text
	} else {
		r.RawBase64 = line
	}
}

func isText(line []byte) bool {
	for _, c := range string(line) {
		if unicode.IsControl(c) {
			return false
		}
	}
	return utf8.Valid(line)
}

// RejectsWriter writes rejected lines, a JSON object each.
type RejectsWriter struct {
	file  *partFile
	lines *bufio.Writer
	out   *json.Encoder
}

// CreateRejects begins a part of the stage's rejected lines.
func (s *Stage) CreateRejects(ctx context.Context, number int) (*RejectsWriter, error) {
	file, err := s.createPart(ctx, rejectsFolder, number, "jsonl")
	if err != nil {
		return nil, err
	}
	lines := bufio.NewWriterSize(file, 256<<10)
	out := json.NewEncoder(lines)
	out.SetEscapeHTML(false)
	return &RejectsWriter{file, lines, out}, nil
}

// Append writes a rejected line.
func (w *RejectsWriter) Append(r Reject) error {
	w.file.part.Rows++
	return w.out.Encode(r)
}

// Commit makes the file a part of the stage.
func (w *RejectsWriter) Commit(ctx context.Context) (Part, error) {
	if err := w.lines.Flush(); err != nil {
		return Part{}, err
	}
	return w.file.commit(ctx)
}

// Discard drops what was not committed.
func (w *RejectsWriter) Discard() error { return w.file.file.Discard() }
