// Package random breaks the rule that a pure room is a function of its inputs.
package random

import (
	"crypto/rand"        // want imports crypto/rand
	"hash/maphash"       // want imports hash/maphash
	mrand "math/rand"    // want imports math/rand
	other "math/rand/v2" // want imports math/rand/v2
)

func roll() uint64 {
	_ = rand.Text()
	_ = maphash.MakeSeed()
	return mrand.Uint64() + other.Uint64()
}
