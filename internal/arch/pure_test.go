package arch

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pureRooms are held to the highest standard: they are functions of their inputs.
var pureRooms = []string{
	"./internal/cow", "./internal/park", "./internal/session", "./internal/machine",
	"./internal/lessee", "./internal/wire", "./lock", "./election", "./latch", "./table", "./channel",
}

// pureImports are all that a pure room may import besides other rooms, which the
// arrows hold. None of these knows the time, the process or the outside.
var pureImports = []string{
	"bufio", "bytes", "cmp", "crypto/sha256", "encoding/binary", "encoding/hex", "errors", "fmt", "hash", "hash/crc32",
	"io", "iter", "maps", "math", "math/bits", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
	"github.com/cespare/xxhash/v2", // of the running state hash; unseeded, unlike hash/maphash
	"github.com/tidwall/btree",     // behind internal/cow
}

// marker is the comment under which a range over a map stands, on its line or above.
var marker = regexp.MustCompile(`order-free: \S`)

// A finding is an impurity.
type finding struct {
	pos  token.Position
	what string
}

func (f finding) String() string { return f.pos.String() + ": " + f.what }

func TestPureRooms(t *testing.T) {
	rooms := load(t, pureRooms)
	if len(rooms) != len(pureRooms) {
		t.Fatalf("%d rooms loaded, not %d", len(rooms), len(pureRooms))
	}
	for _, r := range rooms {
		for _, f := range r.impurities() {
			t.Error(f)
		}
	}
}

// TestPurityBites runs the checker over packages that break the rules. A line that does
// says so, as "want REGEXP"; the findings must be those and no others.
func TestPurityBites(t *testing.T) {
	dirs, err := filepath.Glob("testdata/impure/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("nothing planted: %v", err)
	}
	for i, dir := range dirs {
		dirs[i] = "./internal/arch/" + filepath.ToSlash(dir)
	}
	for _, r := range load(t, dirs) {
		t.Run(filepath.Base(r.path), func(t *testing.T) {
			wants := r.wants()
			if len(wants) == 0 && filepath.Base(r.path) != "clean" {
				t.Error("nothing planted")
			}
			for _, f := range r.impurities() {
				at := fmt.Sprintf("%s:%d", f.pos.Filename, f.pos.Line)
				want, ok := wants[at]
				if !ok || !regexp.MustCompile(want).MatchString(f.what) {
					t.Errorf("%v, but wanted %q", f, want)
				}
				delete(wants, at)
			}
			for at, want := range wants {
				t.Errorf("%s: nothing found, but wanted %q", at, want)
			}
		})
	}
}

// A room is a package with its types.
type room struct {
	path  string
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

// load type-checks packages against the export data of what they import.
func load(t *testing.T, patterns []string) []room {
	t.Helper()
	packages := list(t, append([]string{"-export", "-deps"}, patterns...)...)
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	var rooms []room
	for _, p := range packages {
		if p.DepOnly {
			continue
		}
		r := room{path: p.ImportPath, fset: token.NewFileSet(), info: &types.Info{
			Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
		}}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(r.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatalf("parse %s: %v", name, err)
			}
			r.files = append(r.files, f)
		}
		conf := types.Config{Importer: importer.ForCompiler(r.fset, "gc", func(path string) (io.ReadCloser, error) {
			return os.Open(exports[path])
		})}
		if _, err := conf.Check(p.ImportPath, r.fset, r.files, r.info); err != nil {
			t.Fatalf("check types of %s: %v", p.ImportPath, err)
		}
		rooms = append(rooms, r)
	}
	return rooms
}

// impurities are the findings in r, in order of files and lines.
func (r room) impurities() []finding {
	var found []finding
	for _, file := range r.files {
		marked := r.marked(file)
		report := func(n ast.Node, format string, args ...any) {
			found = append(found, finding{r.fset.Position(n.Pos()), fmt.Sprintf(format, args...)})
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				path := strings.Trim(n.Path.Value, `"`)
				if !strings.HasPrefix(path, module) && !slices.Contains(pureImports, path) {
					report(n, "imports %s", path)
				}
			case *ast.GoStmt:
				report(n, "starts a goroutine")
			case *ast.SelectStmt:
				report(n, "selects")
			case *ast.ChanType:
				report(n, "has a channel")
			case *ast.SendStmt:
				report(n, "sends")
			case *ast.UnaryExpr:
				if n.Op == token.ARROW {
					report(n, "receives")
				}
			case *ast.RangeStmt:
				if what := r.unordered(n.X); what != "" && !marked[r.fset.Position(n.Pos()).Line] {
					report(n, "ranges over %s without saying why its order does not matter", what)
				}
			case *ast.Ident:
				if what := r.forbidden(n); what != "" {
					report(n, "uses %s", what)
				}
			}
			return true
		})
	}
	return found
}

// unordered says what about x has no order, "" if it has one.
func (r room) unordered(x ast.Expr) string {
	if _, ok := r.info.TypeOf(x).Underlying().(*types.Map); ok {
		return "a map"
	}
	if typeParam, ok := r.info.TypeOf(x).(*types.TypeParam); ok {
		if _, ok := typeParam.Constraint().Underlying().(*types.Interface); ok && coreIsMap(typeParam) {
			return "a map"
		}
	}
	return ""
}

// coreIsMap reports whether a type parameter like M ~map[K]V stands for maps.
func coreIsMap(p *types.TypeParam) bool {
	iface, ok := p.Constraint().Underlying().(*types.Interface)
	if !ok {
		return false
	}
	for i := range iface.NumEmbeddeds() {
		union, ok := iface.EmbeddedType(i).(*types.Union)
		if !ok {
			continue
		}
		for j := range union.Len() {
			if _, ok := union.Term(j).Type().Underlying().(*types.Map); ok {
				return true
			}
		}
	}
	return false
}

// forbidden says what an identifier refers to if a pure room may not use it: of time
// everything but durations, of maps what yields their order, of fmt what prints.
func (r room) forbidden(id *ast.Ident) string {
	obj := r.info.Uses[id]
	if obj == nil || obj.Pkg() == nil {
		if b, ok := obj.(*types.Builtin); ok && (b.Name() == "print" || b.Name() == "println") {
			return "the builtin " + b.Name()
		}
		return ""
	}
	name := obj.Pkg().Name() + "." + obj.Name()
	switch obj.Pkg().Path() {
	case "time":
		if !aboutDurations(obj) {
			return name
		}
	case "maps":
		if slices.Contains([]string{"All", "Keys", "Values"}, obj.Name()) {
			return name + ", which yields in the order of a map"
		}
	case "fmt":
		if strings.HasPrefix(obj.Name(), "Print") || strings.HasPrefix(obj.Name(), "Scan") {
			return name
		}
	}
	return ""
}

// aboutDurations reports whether an object of package time is Duration, a method of
// it, or a constant.
func aboutDurations(obj types.Object) bool {
	switch obj := obj.(type) {
	case *types.Const, *types.PkgName:
		return true
	case *types.TypeName:
		return obj.Name() == "Duration"
	case *types.Func:
		recv := obj.Signature().Recv()
		if recv == nil {
			return false
		}
		named, ok := recv.Type().(*types.Named)
		return ok && named.Obj().Name() == "Duration"
	}
	return false
}

// marked are the lines on which a range over a map may stand: those of a marker, and
// the one below it.
func (r room) marked(file *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range file.Comments {
		if !marker.MatchString(group.Text()) {
			continue
		}
		lines[r.fset.Position(group.Pos()).Line] = true
		lines[r.fset.Position(group.End()).Line+1] = true
	}
	return lines
}

// wants are what the planted lines say about themselves, by file:line.
func (r room) wants() map[string]string {
	wants := map[string]string{}
	for _, file := range r.files {
		for _, group := range file.Comments {
			for _, c := range group.List {
				if _, want, ok := strings.Cut(c.Text, "// want "); ok {
					p := r.fset.Position(c.Pos())
					wants[fmt.Sprintf("%s:%d", p.Filename, p.Line)] = want
				}
			}
		}
	}
	return wants
}
