package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const floorTries = 300

// floorSync is the median time of one small synced write to a file that has its space.
func floorSync(dir string) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		return 0, fmt.Errorf("measure synced write: %w", err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		return 0, fmt.Errorf("measure synced write: %w", err)
	}
	return medianOf(floorTries, func(i int) error {
		if _, err := f.WriteAt(make([]byte, 256), int64(i)*256); err != nil {
			return err
		}
		return f.Sync()
	})
}

// floorRoundTrip is the median time of a round trip of 256 bytes over loopback TCP.
func floorRoundTrip() (time.Duration, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("measure round trip: %w", err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(c, c)
			err = errors.Join(err, c.Close())
		}
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("measure round trip: %w", err)
	}
	b := make([]byte, 256)
	took, err := medianOf(floorTries, func(int) error {
		if _, err := c.Write(b); err != nil {
			return err
		}
		_, err := io.ReadFull(c, b)
		return err
	})
	err = errors.Join(err, c.Close())
	if echo := <-done; err == nil {
		err = echo
	}
	return took, err
}

func medianOf(n int, f func(i int) error) (time.Duration, error) {
	times := make([]time.Duration, n)
	for i := range times {
		start := time.Now()
		if err := f(i); err != nil {
			return 0, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[n/2], nil
}
