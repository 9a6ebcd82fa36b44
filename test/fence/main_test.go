package fence_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// limit ends a test that hangs.
const limit = 5 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv("FENCE_ROLE") != "" {
		if err := lateWriter(); err != nil {
			fmt.Fprintf(os.Stderr, "late writer: %v\n", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// bounded is a context for one test.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}
