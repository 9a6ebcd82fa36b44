// Package e2e tests real processes: three coordd on loopback, programs and shell commands
// that exclude each other through them, SIGKILL and SIGSTOP. What can be shown in
// virtual time is tested elsewhere, on coordtest; here is what only processes can show.
//
// Timing decides no verdict: the tests wait for events, and a limit only ends a test
// that hangs.
package e2e
