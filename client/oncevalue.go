package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// OnceFunc is sync's with a client and a name before, as [OnceValue] and [OnceValues] are. The
// results are stored (JSON, at most 64 KiB) and f's panic too, as text. A result of
// type error keeps its text, not its identity. Once known, the answer is local.
func OnceFunc(c *Client, name string, f func()) func() {
	o := c.Once(name)
	return func() {
		end := o.run(func(context.Context, Token) ([]byte, error) {
			f()
			return nil, nil
		})
		end.mustNotPanic()
	}
}

// OnceValue is described at [OnceFunc].
func OnceValue[T any](c *Client, name string, f func() T) func() T {
	o := c.Once(name)
	return func() T {
		end := o.run(func(context.Context, Token) ([]byte, error) { return marshal(f()) })
		end.mustNotPanic()
		var v T
		must(o.ref, unmarshal(end.result, &v))
		return v
	}
}

// OnceValues is described at [OnceFunc]. An error in T2 is remembered, as in sync.
func OnceValues[T1, T2 any](c *Client, name string, f func() (T1, T2)) func() (T1, T2) {
	o := c.Once(name)
	return func() (T1, T2) {
		end := o.run(func(context.Context, Token) ([]byte, error) {
			v1, v2 := f()
			b1, err1 := marshal(v1)
			b2, err2 := marshal(v2)
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			return json.Marshal([]json.RawMessage{b1, b2})
		})
		end.mustNotPanic()
		var pair []json.RawMessage
		var v1 T1
		var v2 T2
		if err := json.Unmarshal(end.result, &pair); err != nil || len(pair) != 2 {
			must(o.ref, fmt.Errorf("%w: it is not of two values: %w", ErrMismatch, err))
		}
		must(o.ref, errors.Join(unmarshal(pair[0], &v1), unmarshal(pair[1], &v2)))
		return v1, v2
	}
}

// OnceValueContext remembers success only: an error leaves it undone.
func OnceValueContext[T any](c *Client, name string, f func(ctx context.Context, t Token) (T, error)) func(ctx context.Context) (T, error) {
	o := c.Once(name)
	return func(ctx context.Context) (v T, err error) {
		end, err := o.runContext(ctx, func(ctx context.Context, t Token) ([]byte, error) {
			v, err := f(ctx, t)
			if err != nil {
				return nil, err
			}
			return marshal(v)
		})
		switch {
		case err != nil:
			return v, err
		case end.panicked:
			return v, fmt.Errorf("%s: its function panicked: %s", o.ref, end.result)
		}
		if err := unmarshal(end.result, &v); err != nil {
			return v, fmt.Errorf("%s: %w", o.ref, err)
		}
		return v, nil
	}
}

// mustNotPanic panics as f did, in this process or another.
func (e *onceEnd) mustNotPanic() {
	if e.panicked {
		panic(string(e.result))
	}
}

func must(ref Ref, err error) {
	if err != nil {
		panic(fmt.Errorf("client: %s: %w", ref, err))
	}
}

// marshal is a value as JSON; an error, which JSON knows nothing of, as its text.
func marshal[T any](v T) ([]byte, error) {
	var b []byte
	var err error
	if isError[T]() {
		var text *string
		if e, ok := any(v).(error); ok && e != nil {
			s := e.Error()
			text = &s
		}
		b, err = json.Marshal(text)
	} else {
		b, err = json.Marshal(v)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return b, nil
}

func unmarshal[T any](data []byte, v *T) error {
	if !isError[T]() {
		if err := json.Unmarshal(data, v); err != nil {
			return fmt.Errorf("%w: %w", ErrMismatch, err)
		}
		return nil
	}
	var text *string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if text != nil {
		*v, _ = any(errors.New(*text)).(T)
	}
	return nil
}

func isError[T any]() bool { return reflect.TypeFor[T]() == reflect.TypeFor[error]() }
