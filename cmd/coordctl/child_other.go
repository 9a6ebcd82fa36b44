//go:build unix && !linux

package main

import "syscall"

// dieWithParent does nothing: this kernel has no such signal, and only the fence
// stops a child whose coordctl was killed.
func dieWithParent(*syscall.SysProcAttr) {}
