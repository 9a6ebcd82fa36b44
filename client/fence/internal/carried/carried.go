// Package carried is the form in which a fencing token goes with a request, the same in
// HTTP headers and gRPC metadata: one value, in decimal.
package carried

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"coordd.dev/client"
)

// longest is how much of what was sent an error repeats, in characters.
const longest = 40

// Token reads the values that a request has. None is no token, and no error.
func Token(values []string) (t client.Token, ok bool, err error) {
	switch len(values) {
	case 0:
		return 0, false, nil
	case 1:
	default:
		return 0, false, errors.New("it is there more than once")
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil || n == 0 {
		return 0, false, fmt.Errorf("%.*q is not a decimal number from 1 to %d", longest, values[0], math.MaxInt64)
	}
	return client.Token(n), true, nil
}
