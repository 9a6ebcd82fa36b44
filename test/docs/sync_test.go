package docs

import (
	"go/importer"
	"go/token"
	"go/types"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	_ "golang.org/x/sync/errgroup" // so that the module that is read is the one that is built
	_ "golang.org/x/sync/semaphore"
	_ "golang.org/x/sync/singleflight"
)

// docs/sync.md has every exported name of the packages, once, with a verdict; and no other.
func TestSyncTableIsComplete(t *testing.T) {
	page, err := os.ReadFile("../../docs/sync.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.*) \\| (\\w+) \\| (.*) \\|$")
	var told []string
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		name, here, verdict, why := m[1], m[2], m[3], m[4]
		told = append(told, name)
		switch {
		case !slices.Contains([]string{"same", "different", "absent"}, verdict):
			t.Errorf("%s is %q", name, verdict)
		case verdict != "absent" && !strings.Contains(here, "`"):
			t.Errorf("%s is %s and nothing is named", name, verdict)
		case verdict != "same" && why == "":
			t.Errorf("%s is %s and nobody knows why", name, verdict)
		}
	}
	var want []string
	imports := importer.ForCompiler(token.NewFileSet(), "source", nil)
	for _, path := range []string{
		"sync", "golang.org/x/sync/semaphore", "golang.org/x/sync/errgroup", "golang.org/x/sync/singleflight",
	} {
		p, err := imports.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, exported(p)...)
	}
	slices.Sort(told)
	slices.Sort(want)
	if len(want) < 60 {
		t.Fatalf("only %d names found", len(want))
	}
	for _, name := range want {
		if !slices.Contains(told, name) {
			t.Errorf("%s is not in the table", name)
		}
	}
	if len(told) != len(want) {
		t.Errorf("the table has %d names, there are %d", len(told), len(want))
	}
}

// exported is what a package offers: names, methods and fields.
func exported(p *types.Package) (names []string) {
	for _, name := range p.Scope().Names() {
		o := p.Scope().Lookup(name)
		if !o.Exported() {
			continue
		}
		full := p.Name() + "." + name
		names = append(names, full)
		if t, ok := o.(*types.TypeName); ok {
			for _, member := range members(t.Type()) {
				names = append(names, full+"."+member)
			}
		}
	}
	return names
}

func members(t types.Type) (names []string) {
	methods := types.NewMethodSet(types.NewPointer(t))
	if types.IsInterface(t) {
		methods = types.NewMethodSet(t)
	}
	for i := range methods.Len() {
		if m := methods.At(i).Obj(); m.Exported() {
			names = append(names, m.Name())
		}
	}
	if s, ok := t.Underlying().(*types.Struct); ok {
		for i := range s.NumFields() {
			if f := s.Field(i); f.Exported() {
				names = append(names, f.Name())
			}
		}
	}
	return names
}
