//go:build unix && !linux

package main

import "syscall"

// dieWithParent does nothing: this kernel has no such signal, and only the fence
// stops a child whose coordctl was killed.
func dieWithParent(*syscall.SysProcAttr) {}

// adoptOrphans does nothing: this kernel gives orphans to nobody else.
func adoptOrphans() {}

// awaitGroup returns at once: who is left in the group has another parent.
func awaitGroup(int) {}
