package client

import (
	"encoding/json"
	"fmt"
)

// A Codec turns values to bytes. Equal values must give equal bytes where
// CompareAndSwap is used. Protobuf's is in package client/protocodec.
type Codec interface {
	// Name is stored with the objects whose values it encodes: 1 to 64 bytes.
	Name() string
	Marshal(v any) ([]byte, error)
	// Unmarshal sets what v points to.
	Unmarshal(data []byte, v any) error
}

// JSON is encoding/json.
func JSON() Codec { return jsonCodec{} }

// Raw passes []byte and string through.
func Raw() Codec { return rawCodec{} }

type jsonCodec struct{}

func (jsonCodec) Name() string                       { return "json" }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	return nil, fmt.Errorf("%w: raw codec: %T is neither []byte nor string", ErrInvalid, v)
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = data
	case *string:
		*v = string(data)
	case *any:
		*v = data
	default:
		return fmt.Errorf("%w: raw codec: %T is neither *[]byte nor *string", ErrInvalid, v)
	}
	return nil
}

func (h handleConfig) coder() Codec {
	if h.codec == nil {
		return JSON()
	}
	return h.codec
}

// encode is a value as an object has it.
func encode(c Codec, v any) ([]byte, error) {
	b, err := c.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: encode as %s: %w", ErrInvalid, c.Name(), err)
	}
	if len(b) > maxElement {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrInvalid, len(b), maxElement)
	}
	return b, nil
}

// decode is the inverse of encode, of what another program may have encoded.
func decode[T any](c Codec, data []byte) (v T, err error) {
	if err := c.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("decode as %s: %w", c.Name(), err)
	}
	return v, nil
}

func checkCodec(c Codec) error {
	if n := len(c.Name()); n < 1 || n > maxCodec {
		return fmt.Errorf("%w: the codec's name has %d bytes, not 1 to %d", ErrInvalid, n, maxCodec)
	}
	return nil
}
