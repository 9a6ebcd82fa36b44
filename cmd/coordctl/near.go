package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	coordv1 "coordd.dev/api/coord/v1"
)

const (
	nearPage = 1_000 // names looked at for the nearest
	nearMost = 3     // that are told
)

// missing is the failure that there is nothing of the name, with others that may be meant.
func (g *getting) missing(ctx context.Context) error {
	return g.nodes.missing(ctx, g.what, g.names.text, g.of)
}

// missing looks for names that begin as name does, in one question a kind. That there is
// none, or no answer, is no reason to say anything else.
func (n *nodes) missing(ctx context.Context, what, name string, of []topic) *failure {
	f := &failure{what: what, why: "nobody holds it or waits for it", next: "see coordctl get " + of[0].many, code: exitNotFound}
	if len(of) == 1 && !hadInTurn(of[0].kind) {
		f.why = "there is none of that name"
	}
	if len(of) > 1 {
		f.next = "see coordctl get all"
	}
	var names []string
	for _, t := range of {
		page, err := n.objects(ctx, what, &coordv1.ListObjectsRequest{Kind: t.kind, Prefix: begin(name), PageSize: nearPage})
		if err != nil {
			break
		}
		for _, o := range page.GetObjects() {
			names = append(names, o.GetName())
		}
	}
	if near := nearest(name, names); len(near) > 0 {
		f.next = "did you mean " + strings.Join(shown(near), " or ") + "?"
	}
	return f
}

// notFound reports whether a node answered that there is no such thing.
func notFound(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.code == exitNotFound
}

// begin is the part of a name in which nothing is taken to be mistyped: a half of it, and no
// more than three characters.
func begin(name string) string {
	runes := []rune(name)
	return string(runes[:min((len(runes)+1)/2, 3)])
}

// nearest are the names that are like name, the most like first.
func nearest(name string, names []string) []string {
	type candidate struct {
		name string
		far  int
	}
	var all []candidate
	for _, other := range names {
		far := distance([]rune(name), []rune(other))
		if strings.HasPrefix(other, name) {
			far = 1
		}
		if far <= max(1, len([]rune(name))/3) {
			all = append(all, candidate{other, far})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return a.far - b.far })
	var out []string
	for _, c := range all {
		if !slices.Contains(out, c.name) && len(out) < nearMost {
			out = append(out, c.name)
		}
	}
	return out
}

// distance is how many characters must be put in, taken out or changed to make b of a.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1) // of the part of a so far, to each part of b
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
