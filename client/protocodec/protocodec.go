// Package protocodec has the elements of a channel and the values of a map be protobuf
// messages.
//
//	jobs := client.NewChan[*pb.Job](c, "jobs", 100, client.WithCodec(protocodec.New[*pb.Job]()))
//
// It is a package of its own so that package client knows of no codec but JSON's.
//
// What is always so:
//
//  1. The codec's name has the message's in it, and is stored with the object. A program
//     that means another message is refused with [client.ErrMismatch]; the wire format of
//     protobuf alone would let it decode nonsense.
//  2. Equal messages give equal bytes, as CompareAndSwap needs, for the same build of the
//     program. Between builds protobuf promises that only for messages without maps and
//     unknown fields.
//  3. What a newer message has and this program's has not is kept in its unknown fields.
package protocodec

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"coordd.dev/client"
)

const (
	prefix = "protobuf/"
	// longest is how much of a message's name is in the codec's, which has at most 64 bytes.
	longest = 64 - len(prefix)
)

type codec[M proto.Message] struct{ name string }

// New returns the codec of one message, as generated for Go: a pointer, *pb.Job. Any other M
// panics. Of a message's full name beyond 55 bytes the codec's name has the end.
func New[M proto.Message]() client.Codec {
	var none M
	if any(none) == nil {
		panic("protocodec: New is for one message, and M is an interface")
	}
	name := string(none.ProtoReflect().Descriptor().FullName())
	return codec[M]{prefix + name[max(0, len(name)-longest):]}
}

func (c codec[M]) Name() string { return c.name }

// Marshal refuses a nil message: none could come back, only an empty one.
func (c codec[M]) Marshal(v any) ([]byte, error) {
	m, ok := v.(M)
	if !ok {
		return nil, fmt.Errorf("%w: %s: it is a %T", client.ErrInvalid, c.name, v)
	}
	if !m.ProtoReflect().IsValid() {
		return nil, fmt.Errorf("%w: %s: it is nil", client.ErrInvalid, c.name)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Unmarshal sets what v points to, an M or an any, to a new message.
func (c codec[M]) Unmarshal(data []byte, v any) error {
	var none M
	m := none.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	switch v := v.(type) {
	case *M:
		*v = m.(M) // New makes what its receiver is
	case *any:
		*v = m
	default:
		return fmt.Errorf("%w: %s: into a %T", client.ErrInvalid, c.name, v)
	}
	return nil
}
