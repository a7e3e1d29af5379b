package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// An error is one line, whatever libraries make of theirs, and tells the user of his Ctrl-C.
func TestErrorLine(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.Join(errors.New("one"), errors.New("two")), "one; two"},
		{fmt.Errorf("the input broke off after line 7: %w", context.Canceled), "the input broke off after line 7: interrupted"},
	} {
		if got := errorLine(test.err); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
