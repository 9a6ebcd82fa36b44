package client

import (
	"context"
	"database/sql/driver"
	"fmt"
	"math"
	"strconv"
)

// A Token is a fencing token: of two exclusive holds of one name the later has the
// greater. It is below 2^63, so it fits a BIGINT. 0 is no token.
type Token uint64

// String is decimal.
func (t Token) String() string { return strconv.FormatUint(uint64(t), 10) }

// Value makes a Token an argument of database/sql. Token 0 is refused: a hold that
// others share cannot be fenced.
func (t Token) Value() (driver.Value, error) {
	if t == 0 || t > math.MaxInt64 {
		return nil, fmt.Errorf("fencing token %d: %w: only an exclusive hold has one", uint64(t), ErrInvalid)
	}
	return int64(t), nil
}

type tokenKey struct{}

// TokenFrom returns the token of the innermost exclusive hold that ctx carries, or
// the one that [ContextWithToken] put there.
func TokenFrom(ctx context.Context) (Token, bool) {
	t, ok := ctx.Value(tokenKey{}).(Token)
	return t, ok
}

// ContextWithHold returns a ctx that carries h's token and lineage besides its own,
// and that also ends when h does.
func ContextWithHold(ctx context.Context, h *Hold) context.Context {
	ctx, _ = h.within(ctx)
	return ctx
}

// ContextWithToken is for servers that were sent a token (package fence).
func ContextWithToken(ctx context.Context, t Token) context.Context {
	return context.WithValue(ctx, tokenKey{}, t)
}
