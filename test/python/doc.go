// Package python runs examples/python through the death of leaders, with a program that
// loses answers and asks everything again, and counts in the cluster's record of changes
// that nothing happened twice, and nothing was left out.
//
// It needs Python with grpcio and protoc with its Python plugins; without them it is
// skipped by name, in CI it fails.
package python
