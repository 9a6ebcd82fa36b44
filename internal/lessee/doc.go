// Package lessee is the client's half of a session, pure: no clock, no goroutine, no
// lock, no I/O, no randomness. The goroutines of package client carry what it says to
// and fro and decide nothing.
package lessee
