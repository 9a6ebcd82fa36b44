package client_test

import (
	"reflect"
	"sync"
	"testing"

	"coordd.dev/client"
)

// Every method of sync's types is here with the same name and the same type: the core of
// the test that keeps the documented table complete.
func TestSameMethodsAsSync(t *testing.T) {
	for _, p := range []struct{ std, ours reflect.Type }{
		{reflect.TypeFor[*sync.Mutex](), reflect.TypeFor[*client.Mutex]()},
		{reflect.TypeFor[*sync.RWMutex](), reflect.TypeFor[*client.RWMutex]()},
	} {
		v := reflect.New(p.ours.Elem())
		if p.std.NumMethod() == 0 {
			t.Errorf("%v: no methods seen", p.std)
		}
		for i := range p.std.NumMethod() {
			m := p.std.Method(i)
			want := reflect.New(p.std.Elem()).MethodByName(m.Name).Type()
			got := v.MethodByName(m.Name)
			if !got.IsValid() || got.Type() != want {
				t.Errorf("%v: no %s %v", p.ours, m.Name, want)
			}
		}
	}
}
