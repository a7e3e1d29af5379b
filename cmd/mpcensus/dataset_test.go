package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDatasetViews(t *testing.T) {
	dir := t.TempDir()
	views := func(dataset string) (string, error) {
		app := newApp()
		var out bytes.Buffer
		app.Writer = &out
		err := app.RunContext(t.Context(), []string{"mpcensus", "dataset", "views", "--dataset", dataset})
		return out.String(), err
	}
	path := filepath.Join(dir, "views.sql")
	if got, err := views(dir); err != nil || got != path+"\n" {
		t.Fatalf("%q, %v", got, err)
	}
	if content, err := os.ReadFile(path); err != nil || !strings.Contains(string(content), "CREATE OR REPLACE TEMP VIEW history") {
		t.Errorf("%q, %v", content, err)
	}
	absent := filepath.Join(dir, "absent")
	if _, err := views(absent); err == nil || !strings.Contains(err.Error(), "no dataset") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(absent); err == nil {
		t.Error("it made the folder")
	}
}
