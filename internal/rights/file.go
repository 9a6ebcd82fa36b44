package rights

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a credentials file.
const (
	maxFile       = 8 << 20 // bytes
	maxRules      = 10_000
	maxPrincipals = 10_000
	maxName       = 256 // bytes, of a principal and of a rule's name
	maxFaults     = 20  // that are told
)

// The file, as it is written.
type fileJSON struct {
	Principals []principalJSON `json:"principals"`
}

type principalJSON struct {
	Name         string      `json:"name"`
	Tokens       []tokenJSON `json:"tokens"`
	Certificates []string    `json:"certificates"`
	Rules        []ruleJSON  `json:"rules"`
}

type tokenJSON struct {
	SHA256  string `json:"sha256"`
	Expires string `json:"expires"`
}

type ruleJSON struct {
	Kind  string   `json:"kind"`
	Name  string   `json:"name"`
	Verbs []string `json:"verbs"`
	Deny  bool     `json:"deny"`
}

// A hash is the SHA-256 of a token.
type hash [sha256.Size]byte

// A token is one that a principal has.
type token struct {
	principal string
	expires   time.Time // zero is never
}

// A table is a file that was read, made to be looked up. It never changes.
type table struct {
	principals   map[string]*rules
	tokens       map[hash]token
	certificates map[string]string // name in a certificate -> principal
	rules        int
}

// parse reads a credentials file, or says all that is wrong with it, up to a limit.
func parse(data []byte) (*table, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("it has %d bytes, at most %d", len(data), maxFile)
	}
	if err := unambiguous(data); err != nil {
		return nil, err
	}
	var in fileJSON
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, fmt.Errorf("line %d: %w", lineAt(data, offsetOf(err, d)), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: something follows the object", lineAt(data, d.InputOffset()))
	}
	r := &reader{table: &table{
		principals: make(map[string]*rules), tokens: make(map[hash]token), certificates: make(map[string]string),
	}}
	r.file(&in)
	return r.table, r.err()
}

// unambiguous refuses what encoding/json would decide by itself: of two keys of one name it
// takes the last, and case does not matter to it; what is not UTF-8 it makes so.
func unambiguous(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	var open []map[string]bool // keys of the objects that are open; nil of an array
	key := false               // the next string is one
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", lineAt(data, offsetOf(err, d)), err)
		}
		inside := len(open) > 0 && open[len(open)-1] != nil
		switch t := t.(type) {
		case json.Delim:
			switch t {
			case '{':
				open = append(open, make(map[string]bool))
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			key = len(open) > 0 && open[len(open)-1] != nil
			continue
		case string:
			if !key {
				break
			}
			keys, folded := open[len(open)-1], strings.ToLower(t)
			if keys[folded] || folded != t {
				return fmt.Errorf("line %d: the key %q is there twice, or has capitals", lineAt(data, d.InputOffset()), t)
			}
			keys[folded], key = true, false
			continue
		}
		key = inside
	}
}

// offsetOf is where in the file an error is.
func offsetOf(err error, d *json.Decoder) int64 {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return syntax.Offset
	}
	if of := (*json.UnmarshalTypeError)(nil); errors.As(err, &of) {
		return of.Offset
	}
	return d.InputOffset()
}

func lineAt(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

// A reader makes a table of a file and gathers what is wrong with it.
type reader struct {
	table  *table
	faults []error
	more   int // faults that are not told
}

func (r *reader) fault(where, format string, args ...any) {
	if len(r.faults) == maxFaults {
		r.more++
		return
	}
	r.faults = append(r.faults, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

func (r *reader) err() error {
	if r.more > 0 {
		r.faults = append(r.faults, fmt.Errorf("and %d more", r.more))
	}
	return errors.Join(r.faults...)
}

func (r *reader) file(in *fileJSON) {
	if n := len(in.Principals); n > maxPrincipals {
		r.fault("principals", "there are %d, at most %d", n, maxPrincipals)
		return
	}
	for i := range in.Principals {
		r.principal(fmt.Sprintf("principals[%d]", i), &in.Principals[i])
	}
	if r.table.rules > maxRules {
		r.fault("principals", "they have %d rules, at most %d", r.table.rules, maxRules)
	}
}

func (r *reader) principal(where string, in *principalJSON) {
	if why := unfit(in.Name); why != "" {
		r.fault(where+".name", "%s", why)
		return
	}
	where += " (" + in.Name + ")"
	if _, twice := r.table.principals[in.Name]; twice {
		r.fault(where, "another principal has that name")
		return
	}
	if len(in.Tokens)+len(in.Certificates) == 0 {
		r.fault(where, "it has neither tokens nor certificates, so that nobody could be it")
	}
	for i, t := range in.Tokens {
		r.token(fmt.Sprintf("%s.tokens[%d]", where, i), in.Name, t)
	}
	for i, name := range in.Certificates {
		field := fmt.Sprintf("%s.certificates[%d]", where, i)
		why := unfit(name)
		if owner, taken := r.table.certificates[name]; taken {
			why = fmt.Sprintf("%q is %s's already", name, owner)
		}
		if why != "" {
			r.fault(field, "%s", why)
			continue
		}
		r.table.certificates[name] = in.Name
	}
	r.table.principals[in.Name] = compile(r.rules(where, in.Rules))
}

func (r *reader) token(where, principal string, in tokenJSON) {
	var h hash
	sum, err := hex.DecodeString(in.SHA256)
	if err != nil || len(sum) != len(h) {
		r.fault(where+".sha256", "it is not %d hexadecimal digits; coordctl token new prints it", 2*len(h))
		return
	}
	copy(h[:], sum)
	if h == sha256.Sum256(nil) {
		r.fault(where+".sha256", "it is that of an empty token")
		return
	}
	if owner, taken := r.table.tokens[h]; taken {
		r.fault(where+".sha256", "%s has that token already", owner.principal)
		return
	}
	t := token{principal: principal}
	if in.Expires != "" {
		if t.expires, err = time.Parse(time.RFC3339, in.Expires); err != nil {
			r.fault(where+".expires", "%q is no time as 2027-01-31T12:00:00Z", in.Expires)
			return
		}
	}
	r.table.tokens[h] = t
}

// rules reads those of one principal.
func (r *reader) rules(where string, in []ruleJSON) []rule {
	if r.table.rules += len(in); r.table.rules > maxRules {
		return nil // said once, at the end
	}
	type line struct {
		kind   Kind
		name   string
		prefix bool
		deny   bool
	}
	seen := make(map[line]int, len(in))
	out := make([]rule, 0, len(in))
	for i := range in {
		field := fmt.Sprintf("%s.rules[%d]", where, i)
		one, ok := r.rule(field, &in[i])
		if !ok {
			continue
		}
		key := line{one.kind, one.name, one.prefix, one.deny}
		if first, twice := seen[key]; twice {
			r.fault(field, "rules[%d] is about the same; put their verbs into one", first)
			continue
		}
		seen[key] = i
		out = append(out, one)
	}
	return out
}

func (r *reader) rule(where string, in *ruleJSON) (rule, bool) {
	out := rule{deny: in.Deny}
	before := len(r.faults) + r.more
	var ok bool
	if out.kind, ok = parseKind(in.Kind); !ok {
		r.fault(where+".kind", "%q is no kind; say lock, semaphore, election, waitgroup, once, cond, map, channel, session, cluster or *", in.Kind)
	}
	if out.name, out.prefix = strings.CutSuffix(in.Name, "*"); !out.prefix || out.name != "" {
		if why := unfit(out.name); why != "" {
			r.fault(where+".name", "%s", why)
		}
	}
	if strings.HasSuffix(out.name, "*") {
		r.fault(where+".name", "%q has more than one star at its end", in.Name)
	}
	if len(in.Verbs) == 0 {
		r.fault(where+".verbs", "there are none; say some of read, acquire and admin")
	}
	for i, word := range in.Verbs {
		v, ok := parseVerb(word)
		switch {
		case !ok:
			r.fault(fmt.Sprintf("%s.verbs[%d]", where, i), "%q is no verb; say read, acquire or admin", word)
		case out.verbs.has(v):
			r.fault(fmt.Sprintf("%s.verbs[%d]", where, i), "%s is there twice", v)
		default:
			out.verbs.add(v)
		}
	}
	return out, len(r.faults)+r.more == before
}

// unfit says why a name may not be one, "" if it may.
func unfit(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > maxName:
		return fmt.Sprintf("it has %d bytes, at most %d", len(name), maxName)
	case !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl):
		return "it has control characters, or is not UTF-8"
	default:
		return ""
	}
}
