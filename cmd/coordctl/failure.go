package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// Exit codes. The first block is of commands that ask, the second of lock, sem
// and elect, where all other codes are the child's.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitHeld        = 4
	exitRefused     = 5
	exitUnavailable = 6

	exitNotAcquired = 75
	exitLost        = 79
	exitTimeout     = 124 // of both
	exitCoordctl    = 125
	exitCannotRun   = 126
	exitNoCommand   = 127
	exitSignal      = 128 // and the signal's number
)

// An exitCode ends the program without a word.
type exitCode int

func (c exitCode) Error() string { return "exit " + strconv.Itoa(int(c)) }

// A failure is what is told to people: what failed, why, and what to do next. why
// and next may be empty.
type failure struct {
	what, why, next string
	code            int
	unheard         bool // a node may have done what was asked, and did not say so
	made            bool // the object was made otherwise
}

func (f *failure) Error() string {
	s := f.what
	if f.why != "" {
		s += ": " + f.why
	}
	if f.next != "" {
		s += "; " + f.next
	}
	return s
}

// print writes f as a line for people, or as an object for programs.
func (f *failure) print(w io.Writer, asJSON bool) {
	if !asJSON {
		fmt.Fprintln(w, "coordctl: "+f.Error())
		return
	}
	line, err := json.Marshal(struct {
		Error string `json:"error"`
		What  string `json:"what"`
		Why   string `json:"why,omitempty"`
		Next  string `json:"next,omitempty"`
		Code  int    `json:"exit_code"`
	}{f.Error(), f.what, f.why, f.next, f.code})
	if err != nil { // strings and a number always marshal
		panic(err)
	}
	fmt.Fprintln(w, string(line))
}

// asFailure gives any error words and a code. What is not a failure yet comes from
// cobra and is a misuse.
func asFailure(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return &failure{what: err.Error(), next: "see coordctl --help", code: exitUsage}
}

// runsCommand marks the commands whose own failures are 125, for the other codes are
// the child's.
const runsCommand = "runs a command"

// misuse is a wrong command line of cmd.
func misuse(cmd *cobra.Command, why string) *failure {
	f := &failure{what: strings.TrimPrefix(cmd.CommandPath(), "coordctl "), why: why, code: exitUsage}
	f.next = "see " + cmd.CommandPath() + " --help"
	if !cmd.HasParent() {
		f.what, f.why = why, ""
	}
	if _, ok := cmd.Annotations[runsCommand]; ok {
		f.code = exitCoordctl
	}
	return f
}

// show makes a string that somebody gave harmless to a terminal, and short.
func show(s string) string {
	const most = 64
	runes := []rune(s)
	if len(runes) <= most {
		return wholly(s)
	}
	short := string(runes[:most]) + "..."
	if isPlain(s) {
		return short
	}
	return strconv.Quote(short)
}

// wholly is show for what may be long.
func wholly(s string) string {
	if isPlain(s) {
		return s
	}
	return strconv.Quote(s)
}

// isPlain reports whether s is a word that needs no quotes.
func isPlain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar
	})
}

// clean is show for what may have spaces: nothing in it moves a cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

func plural(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun
	case 1:
		return "1 " + noun
	default:
		return strconv.Itoa(n) + " " + noun + "s"
	}
}
