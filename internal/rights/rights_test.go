package rights

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// of makes the rights of one principal p with the given rules.
func of(t *testing.T, rules string) *Rights {
	t.Helper()
	table, err := parse([]byte(`{"principals":[{"name":"p","certificates":["p"],"rules":[` + rules + `]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r := &Rights{path: filepath.Join(t.TempDir(), "none"), logger: slog.New(slog.DiscardHandler), began: time.Now()}
	r.now.Store(table)
	return r
}

func TestDecide(t *testing.T) {
	const (
		wide   = `{"kind":"lock","name":"team/*","verbs":["read","acquire"]}`
		narrow = `{"kind":"lock","name":"team/prod","verbs":["read"]}`
		deny   = `{"kind":"*","name":"team/*","verbs":["acquire"],"deny":true}`
		root   = `{"kind":"*","name":"*","verbs":["admin"]}`
	)
	one := func(k Kind, name string) Resource { return Resource{Kind: k, Name: name} }
	prefix := func(k Kind, name string) Resource { return Resource{Kind: k, Name: name, Prefix: true} }
	for _, c := range []struct {
		what, rules string
		verb        Verb
		on          Resource
		want        bool
	}{
		{"nothing allows it", "", Read, one(Lock, "a"), false},
		{"a prefix", wide, Acquire, one(Lock, "team/a"), true},
		{"the prefix itself is one of its names", wide, Acquire, one(Lock, "team/"), true},
		{"a name that is shorter", wide, Read, one(Lock, "team"), false},
		{"another kind", wide, Read, one(Map, "team/a"), false},
		{"verbs are independent", `{"kind":"lock","name":"a","verbs":["acquire"]}`, Read, one(Lock, "a"), false},
		{"acquire has no admin in it", wide, Admin, one(Lock, "team/a"), false},
		{"admin has all", root, Acquire, one(Channel, "x"), true},
		{"also of the cluster", root, Admin, one(Cluster, ""), true},
		{"an exact name is not a prefix", `{"kind":"lock","name":"a","verbs":["read"]}`, Read, one(Lock, "ab"), false},
		{"exact beats prefix, taking away", wide + "," + narrow, Acquire, one(Lock, "team/prod"), false},
		{"exact beats prefix, and reads", wide + "," + narrow, Read, one(Lock, "team/prod"), true},
		{"beside it the prefix counts", wide + "," + narrow, Acquire, one(Lock, "team/prod2"), true},
		{"the longest prefix wins", wide + `,{"kind":"lock","name":"team/x/*","verbs":["read"]}`, Acquire, one(Lock, "team/x/1"), false},
		{"a kind is before all kinds", root + `,{"kind":"lock","name":"*","verbs":["read"]}`, Acquire, one(Lock, "a"), false},
		{"but not before a longer name", `{"kind":"lock","name":"*","verbs":["read"]},{"kind":"*","name":"a","verbs":["acquire"]}`, Acquire, one(Lock, "a"), true},
		{"a wide deny beats an exact allow", `{"kind":"lock","name":"team/a","verbs":["acquire"]},` + deny, Acquire, one(Lock, "team/a"), false},
		{"deny is of its verbs only", wide + "," + deny, Read, one(Lock, "team/a"), true},
		{"deny acquire does not deny admin", root + "," + deny, Admin, one(Lock, "team/a"), true},
		{"and admin does not beat it", root + "," + deny, Acquire, one(Lock, "team/a"), false},

		{"a list of a prefix", wide, Read, prefix(Lock, "team/"), true},
		{"of a longer one", wide, Read, prefix(Lock, "team/x"), true},
		{"of a shorter one", wide, Read, prefix(Lock, "tea"), false},
		{"a narrower rule takes one of them away", wide + "," + narrow, Acquire, prefix(Lock, "team/"), false},
		{"but not of another verb", wide + "," + narrow, Read, prefix(Lock, "team/"), true},
		{"a deny of one of them", wide + `,{"kind":"lock","name":"team/s","verbs":["read"],"deny":true}`, Read, prefix(Lock, "team/"), false},
		{"beside it", wide + `,{"kind":"lock","name":"team/s","verbs":["read"],"deny":true}`, Read, prefix(Lock, "team/t"), true},
		{"all kinds", root, Read, All(AnyKind), true},
		{"all kinds but one", root + `,{"kind":"map","name":"*","verbs":["read"],"deny":true}`, Read, All(AnyKind), false},
		{"one kind is not all", `{"kind":"lock","name":"*","verbs":["read"]}`, Read, All(AnyKind), false},
		{"a kind that there is not", root, Read, one(200, "a"), false},
	} {
		r := of(t, c.rules)
		if got, why := r.Decide("p", c.verb, c.on); got != c.want || got == (why != "") {
			t.Errorf("%s: %s of %s is %v (%s)", c.what, c.verb, c.on, got, why)
		}
	}
	if ok, why := of(t, root).Decide("q", Read, one(Lock, "a")); ok || why != "q is no principal here" {
		t.Errorf("a stranger: %v, %s", ok, why)
	}
}

// The compiled rules say what a slow reading of the doc says, and a prefix is never allowed
// with a name in it that is not.
func TestDecideAgainstModel(t *testing.T) {
	names := []string{"", "a", "b", "aa", "ab", "aab", "aba", "abb"}
	rng := rand.New(rand.NewPCG(1, 2))
	allowed := 0
	for range 5_000 {
		var list []rule
		for range rng.IntN(6) {
			r := rule{kind: []Kind{Lock, Map, AnyKind}[rng.IntN(3)], name: names[rng.IntN(len(names))], prefix: rng.IntN(2) == 0, deny: rng.IntN(4) == 0}
			for v := Read; v <= Admin; v++ {
				if rng.IntN(2) == 0 {
					r.verbs.add(v)
				}
			}
			list = append(list, r)
		}
		compiled := compile(list)
		v := Verb(1 + rng.IntN(3))
		for _, name := range names {
			got, _ := compiled.one(v, Lock, name)
			if want := slow(list, v, Lock, name); got != want {
				t.Fatalf("%v: %s of %q is %v", list, v, name, got)
			}
		}
		for _, prefix := range names {
			if all, _ := compiled.every(v, Lock, prefix); all {
				allowed++
				for _, name := range names {
					if ok, _ := compiled.one(v, Lock, name); strings.HasPrefix(name, prefix) && !ok {
						t.Fatalf("%v: all of %q are allowed to %s, but not %q", list, prefix, v, name)
					}
				}
			}
		}
	}
	if allowed < 1_000 {
		t.Errorf("only %d prefixes were allowed", allowed)
	}
}

// slow reads the doc's invariants one after the other.
func slow(list []rule, v Verb, k Kind, name string) bool {
	best, verbs := -1, map[Verb]bool{}
	for _, r := range list {
		if r.kind != k && r.kind != AnyKind || r.name != name && (!r.prefix || !strings.HasPrefix(name, r.name)) {
			continue
		}
		if r.deny {
			if r.verbs.has(v) {
				return false
			}
			continue
		}
		if r.verbs == 0 {
			continue
		}
		exactness := len(r.name) * 10
		if !r.prefix {
			exactness = 1_000
		}
		if r.kind == k {
			exactness++
		}
		if exactness > best {
			best, verbs = exactness, map[Verb]bool{}
		}
		if exactness == best {
			for _, w := range []Verb{Read, Acquire, Admin} {
				if r.verbs.has(w) || r.verbs.has(Admin) {
					verbs[w] = true
				}
			}
		}
	}
	return verbs[v]
}

func TestFaultsAreJoined(t *testing.T) {
	good := hashOf("x")
	for _, c := range []struct{ file, want string }{
		{`{`, "line 1: "},
		{"{\n\"principals\": 5}", "line 2: "},
		{"{\n\n\"principal\": []}", `unknown field "principal"`},
		{`{"principals":[]} {}`, "something follows the object"},
		{`{"principals":[],"principals":[]}`, `the key "principals" is there twice`},
		{`{"Principals":[]}`, "has capitals"},
		{"{\"principals\":[{\"name\":\"\xff\"}]}", "not UTF-8"},
		{`{"principals":[{"name":""}]}`, "principals[0].name: it is empty"},
		{`{"principals":[{"name":"a\u0007"}]}`, "control characters"},
		{`{"principals":[{"name":"a"}]}`, "neither tokens nor certificates"},
		{`{"principals":[{"name":"a","certificates":["c"]},{"name":"a","certificates":["d"]}]}`, "principals[1] (a): another principal has that name"},
		{`{"principals":[{"name":"a","certificates":["c"]},{"name":"b","certificates":["c"]}]}`, `principals[1] (b).certificates[0]: "c" is a's already`},
		{`{"principals":[{"name":"a","tokens":[{"sha256":"` + good + `"},{"sha256":"` + good + `"}]}]}`, "principals[0] (a).tokens[1].sha256: a has that token already"},
		{`{"principals":[{"name":"a","tokens":[{"sha256":"abc"}]}]}`, "not 64 hexadecimal digits"},
		{`{"principals":[{"name":"a","tokens":[{"sha256":"` + hashOf("") + `"}]}]}`, "empty token"},
		{`{"principals":[{"name":"a","tokens":[{"sha256":"` + good + `","expires":"tomorrow"}]}]}`, "no time as"},
		{`{"principals":[{"name":"a","certificates":["c"],"rules":[{"kind":"lokc","name":"x","verbs":["read"]}]}]}`, `rules[0].kind: "lokc" is no kind`},
		{`{"principals":[{"name":"a","certificates":["c"],"rules":[{"kind":"lock","name":"","verbs":["read"]}]}]}`, "rules[0].name: it is empty"},
		{`{"principals":[{"name":"a","certificates":["c"],"rules":[{"kind":"lock","name":"x**","verbs":["read"]}]}]}`, "more than one star"},
		{`{"principals":[{"name":"a","certificates":["c"],"rules":[{"kind":"lock","name":"x","verbs":[]}]}]}`, "rules[0].verbs: there are none"},
		{`{"principals":[{"name":"a","certificates":["c"],"rules":[{"kind":"lock","name":"x","verbs":["write"]}]}]}`, `verbs[0]: "write" is no verb`},
		{`{"principals":[{"name":"a","certificates":["c"],"rules":[{"kind":"lock","name":"x","verbs":["read","read"]}]}]}`, "read is there twice"},
		{`{"principals":[{"name":"a","certificates":["c"],"rules":[{"kind":"lock","name":"x","verbs":["read"]},{"kind":"lock","name":"x","verbs":["acquire"]}]}]}`, "rules[0] is about the same"},
	} {
		if _, err := parse([]byte(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, not %s", c.file, err, c.want)
		}
	}
	_, err := parse([]byte(`{"principals":[{"name":""},{"name":"a"},{"name":"b","tokens":[{"sha256":"q"}]}]}`))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all faults are told: %v", err)
	}
}

func TestTooManyRules(t *testing.T) {
	file := fileJSON{Principals: []principalJSON{{Name: "a", Certificates: []string{"c"}}}}
	for i := range maxRules {
		file.Principals[0].Rules = append(file.Principals[0].Rules, ruleJSON{Kind: "lock", Name: fmt.Sprint(i), Verbs: []string{"read"}})
	}
	if _, err := parse(encode(t, file)); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
	file.Principals[0].Rules = append(file.Principals[0].Rules, ruleJSON{Kind: "lock", Name: "x", Verbs: []string{"read"}})
	if _, err := parse(encode(t, file)); err == nil {
		t.Error("one more is taken")
	}
}

func encode(t testing.TB, file fileJSON) []byte {
	t.Helper()
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func principal(name, token, expires string) string {
	return fmt.Sprintf(`{"name":%q,"tokens":[{"sha256":%q,"expires":%q}],"rules":[{"kind":"lock","name":"*","verbs":["read"]}]}`,
		name, hashOf(token), expires)
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "credentials.json")
		var log bytes.Buffer
		write(t, path, `{"principals":[`+principal("p", "one", "")+`]}`)
		r, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		id, err := r.ByToken("one")
		if err != nil || id.Principal != "p" {
			t.Fatalf("one: %+v, %v", id, err)
		}
		write(t, path, `{"principals":[`+principal("p", "two", "")+`]}`)
		if _, err := r.ByToken("two"); !errors.Is(err, ErrUnknown) {
			t.Errorf("the file is looked at more than once a second: %v", err)
		}
		time.Sleep(lookEvery)
		if id, err := r.ByToken("two"); err != nil || id.Principal != "p" {
			t.Errorf("two: %+v, %v", id, err)
		}
		if _, err := r.ByToken("one"); !errors.Is(err, ErrUnknown) {
			t.Errorf("one is known still: %v", err)
		}
		if err := r.Still(id); !errors.Is(err, ErrUnknown) {
			t.Errorf("who came by a token that is gone: %v", err)
		}

		write(t, path, `{"principals":[{"name":"p"}]}`)
		for range 3 {
			time.Sleep(lookEvery)
			if _, err := r.ByToken("two"); err != nil {
				t.Errorf("a faulty file took the rules away: %v", err)
			}
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("a faulty file is told %d times: %s", n, log.String())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(lookEvery)
			if ok, why := r.Decide("p", Read, Resource{Kind: Lock, Name: "a"}); !ok {
				t.Errorf("a file that is gone took the rules away: %s", why)
			}
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 2 {
			t.Errorf("a file that is gone: %d errors in all: %s", n, log.String())
		}
		write(t, path, `{"principals":[]}`)
		time.Sleep(lookEvery)
		if ok, _ := r.Decide("p", Read, Resource{Kind: Lock, Name: "a"}); ok {
			t.Error("the file that is back does not count")
		}
	})
}

func TestOpenRefusesAFaultyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials.json")
	if _, err := Open(path, slog.Default()); err == nil {
		t.Error("no file, and no error")
	}
	write(t, path, `{"principals":[{"name":"p"}]}`)
	if _, err := Open(path, slog.Default()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a faulty file: %v", err)
	}
}

func TestModeIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials.json")
	var log bytes.Buffer
	write(t, path, `{"principals":[]}`)
	if _, err := Open(path, slog.New(slog.NewTextHandler(&log, nil))); err != nil || log.Len() > 0 {
		t.Errorf("0600: %v, %s", err, log.String())
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, slog.New(slog.NewTextHandler(&log, nil))); err != nil || !strings.Contains(log.String(), "chmod 600") {
		t.Errorf("0640: %v, %s", err, log.String())
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "credentials.json")
		write(t, path, `{"principals":[`+principal("p", "one", time.Now().Add(time.Hour).Format(time.RFC3339))+`]}`)
		r, err := Open(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		id, err := r.ByToken("one")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := r.ByToken("one"); !errors.Is(err, ErrExpired) {
			t.Errorf("an expired token: %v", err)
		}
		if err := r.Still(id); !errors.Is(err, ErrExpired) {
			t.Errorf("who came by it before: %v", err)
		}
		if err := r.Still(Identity{Principal: "p"}); err != nil {
			t.Errorf("who another node has told: %v", err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"principals":[` + principal("p", "one", "2027-01-31T12:00:00Z") + `]}`))
	f.Add([]byte(`{"principals":[{"name":"a","certificates":["c"],"rules":[{"kind":"*","name":"*","verbs":["admin"],"deny":true}]}]}`))
	f.Add([]byte(`{"a":[{"b":null},[]],"a":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := parse(data)
		if err != nil {
			return
		}
		for name, rules := range table.principals {
			if unfit(name) != "" {
				t.Errorf("principal %q", name)
			}
			for _, v := range []Verb{Read, Acquire, Admin} {
				if all, _ := rules.every(v, Lock, ""); all {
					if ok, _ := rules.one(v, Lock, "any"); !ok {
						t.Errorf("%q may %s all locks, but not one", name, v)
					}
				}
			}
		}
		for _, owner := range table.tokens {
			if table.principals[owner.principal] == nil {
				t.Errorf("a token of %q, who is not there", owner.principal)
			}
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			file := fileJSON{Principals: []principalJSON{{Name: "p", Certificates: []string{"p"}}}}
			for i := range n {
				file.Principals[0].Rules = append(file.Principals[0].Rules, ruleJSON{
					Kind: "lock", Name: fmt.Sprintf("team-%05d/%s*", i, strings.Repeat("x", i%8)), Verbs: []string{"read", "acquire"},
				})
			}
			table, err := parse(encode(b, file))
			if err != nil {
				b.Fatal(err)
			}
			path := filepath.Join(b.TempDir(), "none")
			r := &Rights{path: path, logger: slog.New(slog.DiscardHandler), began: time.Now()}
			r.now.Store(table)
			on := Resource{Kind: Lock, Name: "team-00000/deploy"}
			for b.Loop() {
				if ok, why := r.Decide("p", Acquire, on); !ok {
					b.Fatal(why)
				}
			}
		})
	}
}
