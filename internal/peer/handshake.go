package peer

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The wire, version 1. An integer is one byte, but a floor eight, the highest first; a string is
// its length and its bytes.
//
//	dialler:  "coordd" version purpose  cluster node target address  floor
//	answerer: "coordd" version refusal  cluster node text            floor
//
// A floor is the highest log index with which the speaker has ever seen the other one; 0 is
// none. Of whom a dialler has no target, it has no floor.
//
// A version changes these bytes only behind "coordd" version, so that any two versions
// can at least refuse each other in words.
const (
	magic   = "coordd"
	version = 1

	// maxString bounds each string of a handshake, by its length byte.
	maxString = 255
)

// A purpose is what a connection is for. The values are the wire's; never reorder them.
type purpose uint8

const (
	purposeRaft  purpose = iota + 1
	purposeHello         // to be told who the other one is
	purposeCalls         // gRPC calls that a node passes on
)

// A greeting is what the dialler says first.
type greeting struct {
	Version uint8
	Purpose purpose
	Cluster string // empty: in none yet
	Node    string // who dials
	Target  string // who is meant; empty: whoever answers
	Address string // where the dialler's own peer port is reached
	Floor   uint64 // of the target
}

// An answer is what the answerer says first.
type answer struct {
	Version uint8
	Code    refusal
	Cluster string
	Node    string
	Text    string // why it is refused
	Floor   uint64 // of the dialler
}

func (g greeting) encode() []byte {
	b := append([]byte(magic), version, byte(g.Purpose))
	return binary.BigEndian.AppendUint64(appendStrings(b, g.Cluster, g.Node, g.Target, g.Address), g.Floor)
}

func (a answer) encode() []byte {
	b := append([]byte(magic), version, byte(a.Code))
	return binary.BigEndian.AppendUint64(appendStrings(b, a.Cluster, a.Node, a.Text), a.Floor)
}

func readGreeting(r io.Reader) (greeting, error) {
	v, p, err := readHead(r)
	g := greeting{Version: v, Purpose: purpose(p)}
	if err != nil || v != version {
		return g, err // the rest of another version cannot be read
	}
	if err := readStrings(r, &g.Cluster, &g.Node, &g.Target, &g.Address); err != nil {
		return g, err
	}
	return g, binary.Read(r, binary.BigEndian, &g.Floor)
}

func readAnswer(r io.Reader) (answer, error) {
	v, code, err := readHead(r)
	a := answer{Version: v, Code: refusal(code)}
	if err != nil {
		return a, err
	}
	if v != version {
		return a, fmt.Errorf("peer speaks version %d, this node %d", v, version)
	}
	if err := readStrings(r, &a.Cluster, &a.Node, &a.Text); err != nil {
		return a, err
	}
	return a, binary.Read(r, binary.BigEndian, &a.Floor)
}

// readHead reads no byte more than the magic before it knows that it is one.
func readHead(r io.Reader) (v, code uint8, err error) {
	var head [len(magic) + 2]byte
	if _, err := io.ReadFull(r, head[:len(magic)]); err != nil {
		return 0, 0, err
	}
	if string(head[:len(magic)]) != magic {
		return 0, 0, fmt.Errorf("%w: it began with %q", ErrNotPeer, head[:len(magic)])
	}
	if _, err := io.ReadFull(r, head[len(magic):]); err != nil {
		return 0, 0, err
	}
	return head[len(magic)], head[len(magic)+1], nil
}

// appendStrings cuts what is too long: only the text of a refusal can be, for ids and
// addresses are checked before.
func appendStrings(b []byte, list ...string) []byte {
	for _, s := range list {
		s = s[:min(len(s), maxString)]
		b = append(append(b, byte(len(s))), s...)
	}
	return b
}

func readStrings(r io.Reader, list ...*string) error {
	var buf [1 + maxString]byte
	for _, s := range list {
		if _, err := io.ReadFull(r, buf[:1]); err != nil {
			return err
		}
		n := int(buf[0])
		if _, err := io.ReadFull(r, buf[1:1+n]); err != nil {
			return err
		}
		*s = string(buf[1 : 1+n])
	}
	return nil
}
