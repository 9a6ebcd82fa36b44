package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// A table is the rows of an answer for people.
type table struct{ w *tabwriter.Writer }

func (t *table) row(cells ...string) {
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// render writes an answer to stdout: v as JSON, or the rows of fill.
func (a *app) render(v any, fill func(*table)) error {
	if a.output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return &failure{what: "write answer", why: err.Error(), code: exitFailed}
		}
		return nil
	}
	t := &table{w: tabwriter.NewWriter(a.stdout, 0, 0, 3, ' ', 0)}
	fill(t)
	if err := t.w.Flush(); err != nil {
		return &failure{what: "write answer", why: err.Error(), code: exitFailed}
	}
	return nil
}
