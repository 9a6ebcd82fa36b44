package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"text/tabwriter"
	"unicode/utf8"
)

// How wide cells of a table for people are at most, in runes. Wide tables cut nothing.
const (
	widestName = 40
	widestText = 48
)

// Formats of -o. Wide is of the commands that have it in their annotations.
const (
	asTable = "table"
	asWide  = "wide"
	asJSON  = "json"
)

// A table is the rows of an answer for people.
type table struct{ w *tabwriter.Writer }

func (t *table) row(cells ...string) {
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// render writes an answer to stdout: v as JSON, or the rows of fill.
func (a *app) render(v any, fill func(*table)) error {
	if a.output == asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return unwritten(enc.Encode(v))
	}
	t := &table{w: tabwriter.NewWriter(a.stdout, 0, 0, 3, ' ', 0)}
	fill(t)
	return unwritten(t.w.Flush())
}

// line writes v in one line, as a watch does.
func (a *app) line(v any) error { return unwritten(json.NewEncoder(a.stdout).Encode(v)) }

// text writes what is for people.
func (a *app) text(s string) error {
	_, err := io.WriteString(a.stdout, s)
	return unwritten(err)
}

// unwritten is the error of an answer that nobody gets. If they have stopped reading, as
// head does, it is no failure to speak of.
func unwritten(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return exitCode(exitSignal + int(syscall.SIGPIPE))
	}
	return &failure{what: "write answer", why: err.Error(), code: exitFailed}
}

// Columns are a table whose rows come bit by bit: each flush writes those that have
// gathered, no narrower than those before, so that nothing has to be kept.
type columns struct {
	w      io.Writer
	widths []int
	rows   [][]string
}

func (c *columns) row(cells ...string) { c.rows = append(c.rows, cells) }

func (c *columns) flush() error {
	for _, cells := range c.rows {
		for i, cell := range cells {
			if i == len(c.widths) {
				c.widths = append(c.widths, 0)
			}
			c.widths[i] = max(c.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, cells := range c.rows {
		for i, cell := range cells {
			b.WriteString(cell)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", c.widths[i]-utf8.RuneCountInString(cell)+3))
			}
		}
		b.WriteByte('\n')
	}
	c.rows = c.rows[:0]
	_, err := io.WriteString(c.w, b.String())
	return unwritten(err)
}

// dropEmpty removes the columns in which no row says anything. The first row is the head.
func (c *columns) dropEmpty() {
	if len(c.rows) < 2 {
		return
	}
	for i := len(c.rows[0]) - 1; i >= 0; i-- {
		said := false
		for _, cells := range c.rows[1:] {
			said = said || cells[i] != "-"
		}
		if said {
			continue
		}
		for r, cells := range c.rows {
			c.rows[r] = append(cells[:i:i], cells[i+1:]...)
		}
	}
}

// cut shortens the name of an object in a table for people. Its end stays, for there names
// mostly differ.
func (a *app) cut(name string) string {
	s := wholly(name)
	runes := []rune(s)
	if a.output == asWide || len(runes) <= widestName {
		return s
	}
	const tail = widestName / 2
	return string(runes[:widestName-tail-3]) + "..." + string(runes[len(runes)-tail:])
}

// clip shortens what somebody says of themselves.
func (a *app) clip(text string) string {
	s := clean(text)
	runes := []rune(s)
	switch {
	case s == "":
		return "-"
	case a.output == asWide || len(runes) <= widestText:
		return s
	}
	return string(runes[:widestText-3]) + "..."
}
