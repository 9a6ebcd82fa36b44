package hraft

import "sync"

// A failure is the first thing that went wrong for good.
type failure struct {
	failed chan struct{} // closed by the first report

	mu  sync.Mutex
	err error
}

func newFailure() *failure { return &failure{failed: make(chan struct{})} }

// report keeps err if it is the first.
func (f *failure) report(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		close(f.failed)
	}
}

// get returns the first error reported.
func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
