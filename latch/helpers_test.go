package latch_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"coordd.dev/internal/wire"
)

func mustPanic(t *testing.T, broken func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("it goes on")
		}
	}()
	broken()
}

// saved are the records that save emits.
func saved(t interface{ Fatal(...any) }, save func(func([]byte) error) error) (records [][]byte) {
	err := save(func(b []byte) error {
		records = append(records, slices.Clone(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

var errShort = errors.New("no more records")

// replay is a source of records.
func replay(records [][]byte) func() (*wire.Decoder, error) {
	return func() (*wire.Decoder, error) {
		if len(records) == 0 {
			return nil, errShort
		}
		d := wire.NewDecoder(records[0])
		records = records[1:]
		return d, nil
	}
}

func hex(records [][]byte) (lines []string) {
	for _, b := range records {
		lines = append(lines, fmt.Sprintf("%x", b))
	}
	return lines
}
