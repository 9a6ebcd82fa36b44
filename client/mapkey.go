package client

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
)

// encodeKey is a key as a map has it: as encoding/json encodes the keys of an object.
func encodeKey(key any) (string, error) {
	s, err := textOfKey(key)
	switch {
	case err != nil:
		return "", err
	case s == "" || len(s) > maxKey:
		return "", fmt.Errorf("%w: the key has %d bytes, not 1 to %d", ErrInvalid, len(s), maxKey)
	}
	return s, nil
}

func textOfKey(key any) (string, error) {
	v := reflect.ValueOf(key)
	if v.IsValid() && v.Kind() == reflect.String {
		return v.String(), nil
	}
	if t, ok := key.(encoding.TextMarshaler); ok {
		b, err := t.MarshalText()
		if err != nil {
			return "", fmt.Errorf("%w: encode key: %w", ErrInvalid, err)
		}
		return string(b), nil
	}
	if !v.IsValid() {
		return "", fmt.Errorf("%w: nil is no key", ErrInvalid)
	}
	switch {
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), nil
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10), nil
	}
	return "", fmt.Errorf("%w: a key is a string, an integer or an encoding.TextMarshaler, not a %T", ErrInvalid, key)
}

// decodeKey is the inverse of encodeKey. What a Map[any, V] has as keys are strings.
func decodeKey[K comparable](text string) (key K, err error) {
	v := reflect.ValueOf(&key).Elem()
	if v.Kind() == reflect.String {
		v.SetString(text)
		return key, nil
	}
	if t, ok := any(&key).(encoding.TextUnmarshaler); ok {
		if err := t.UnmarshalText([]byte(text)); err != nil {
			return key, fmt.Errorf("decode key %q: %w", text, err)
		}
		return key, nil
	}
	switch {
	case v.Kind() == reflect.Interface:
		if s, ok := any(text).(K); ok {
			return s, nil
		}
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(n)
		if err != nil {
			return key, fmt.Errorf("decode key: %w", err)
		}
		return key, nil
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		v.SetUint(n)
		if err != nil {
			return key, fmt.Errorf("decode key: %w", err)
		}
		return key, nil
	}
	return key, fmt.Errorf("%w: decode key %q into %T", ErrInvalid, text, key)
}
