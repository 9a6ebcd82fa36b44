// Package abuse does to a cluster of real processes what it must survive: thousands of
// connections that say nothing, streams of which nothing is read, a million waits, frames as
// large as may be. Meanwhile honest clients hold leases, none of which may be lost, and their
// locks are timed. It prints what the nodes took, before and at the worst.
//
// `go test ./test/abuse` does a hundredth of it; `make abuse` does all, with the default TTL.
package abuse
