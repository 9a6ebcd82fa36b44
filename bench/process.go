package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"coordd.dev/test/daemons"
)

// tick is the unit of /proc/PID/stat, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpuOf is the processor time that a process has taken, its system calls included.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	// The second field is the command in parentheses; utime and stime are the 14th and 15th.
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("read processor time: /proc/%d/stat is %q", pid, b)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(user+system) * tick, nil
}

// A memory is what a node's process has.
type memory struct {
	Heap  int64 `json:"heap_bytes"`  // of live objects: HeapAlloc after two collections
	Stack int64 `json:"stack_bytes"` // of goroutines
	RSS   int64 `json:"rss_bytes"`   // of the process, as it stood before they were asked for
}

func (m memory) less(before memory) memory {
	return memory{m.Heap - before.Heap, m.Stack - before.Stack, m.RSS - before.RSS}
}

// memoryOf asks the system and the node's pprof.
func memoryOf(ctx context.Context, n *daemons.Node) (m memory, err error) {
	if m.RSS, err = rssOf(n.PID()); err != nil {
		return m, err
	}
	for range 2 { // what the first one's finalizers and pools let go, the second has
		text, err := fetch(ctx, "http://"+n.Admin+"/debug/pprof/heap?gc=1&debug=1")
		if err != nil {
			return m, err
		}
		for key, to := range map[string]*int64{"HeapAlloc": &m.Heap, "Stack": &m.Stack} {
			_, rest, ok := strings.Cut(text, "\n# "+key+" = ")
			if !ok {
				return m, fmt.Errorf("read memory: the heap profile has no %s", key)
			}
			if *to, err = strconv.ParseInt(rest[:strings.IndexAny(rest, " \n")], 10, 64); err != nil {
				return m, fmt.Errorf("read memory: %w", err)
			}
		}
	}
	return m, nil
}

func rssOf(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kilobytes int64
		if _, err := fmt.Sscanf(lines.Text(), "VmRSS: %d kB", &kilobytes); err == nil {
			return kilobytes << 10, nil
		}
	}
	return 0, fmt.Errorf("read memory: /proc/%d/status has no VmRSS", pid)
}

// goroutinesOf is how many goroutines a node has.
func goroutinesOf(ctx context.Context, n *daemons.Node) (int, error) {
	text, err := fetch(ctx, "http://"+n.Admin+"/debug/pprof/goroutine?debug=1")
	if err != nil {
		return 0, err
	}
	var total int
	if _, err := fmt.Sscanf(text, "goroutine profile: total %d", &total); err != nil {
		return 0, fmt.Errorf("count goroutines: %w", err)
	}
	return total, nil
}

func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("get %s: %w", url, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err // it says what was asked for
	}
	b, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return "", fmt.Errorf("get %s: %w", url, err)
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, res.Status)
	}
	return string(b), nil
}
