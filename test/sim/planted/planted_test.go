package main

import (
	"path/filepath"
	"testing"
)

// Every bug can still be planted. That it is caught is for go run to show: a build each.
func TestBugsCanBePlanted(t *testing.T) {
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bugs() {
		for _, e := range b.edits {
			if _, err := e.apply(filepath.Join(root, e.file)); err != nil {
				t.Errorf("%s: %v", b.name, err)
			}
		}
	}
}
