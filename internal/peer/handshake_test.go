package peer

import (
	"bytes"
	"testing"
)

// FuzzReadGreeting: no bytes make it fail otherwise than by an error, and what it reads
// is what was written.
func FuzzReadGreeting(f *testing.F) {
	f.Add(greeting{Purpose: purposeRaft, Cluster: "c", Node: "n", Target: "t", Address: "a:1", Floor: 1 << 40}.encode())
	f.Add([]byte("coordd\x01\x01\xff"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		g, err := readGreeting(r)
		if err != nil || g.Version != version {
			return
		}
		if read := data[:len(data)-r.Len()]; !bytes.Equal(g.encode(), read) {
			t.Errorf("read %q as %+v", read, g)
		}
	})
}
