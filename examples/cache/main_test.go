package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coordd.dev/client"
	"coordd.dev/coordtest"
	"coordd.dev/examples/internal/stage"
	"coordd.dev/examples/internal/stage/stagetest"
)

func TestMain(m *testing.M) { stagetest.Main(m, main) }

const ttl = 2 * time.Second

// A table is a database of one row, which takes its time.
type table struct {
	now   atomic.Int64 // version of the row
	reads atomic.Int64
	slow  func() // after the row was read, and before it is there
}

func (d *table) read(context.Context, string) (row, error) {
	d.reads.Add(1)
	version := d.now.Load()
	d.slow()
	return row{fmt.Sprint(version), version}, nil
}

func part() stage.Part { return stage.Part{Run: "test"} }

// open is a cache that hears of changes. The first change of all in a cluster is one that it
// would miss, so something has changed before.
func open(t *testing.T, cluster *coordtest.Cluster, d *table) (s *cache, stop func()) {
	s = newCache(cluster.Dial(client.WithTTL(ttl)), part(), d.read)
	if err := s.versions.of.StoreContext(t.Context(), "another", 1); err != nil {
		t.Fatal(err)
	}
	return s, s.start(t.Context())
}

func (s *cache) heardOf() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known["x"]
}

// While rows change nobody gets one that is older than a change that its process had heard of
// before, and each version is read by about one of them.
func TestNeverOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const versions, processes = 20, 3
		cluster := coordtest.New(t)
		d := &table{slow: func() { time.Sleep(5 * time.Millisecond) }}
		var readers sync.WaitGroup
		for range processes {
			s, stop := open(t, cluster, d)
			defer stop()
			for range 2 {
				readers.Go(func() {
					for last := int64(0); last < versions; time.Sleep(time.Millisecond) {
						heard := s.heardOf()
						r, err := s.get(t.Context(), "x")
						if err != nil || r.Version < heard {
							t.Errorf("version %d after %d was heard of, %v", r.Version, heard, err)
							return
						}
						last = r.Version
					}
				})
			}
		}
		writer := newVersions(cluster.Dial(), part())
		for range versions {
			time.Sleep(20 * time.Millisecond)
			if err := writer.changed(t.Context(), "x", d.now.Add(1)); err != nil {
				t.Error(err)
			}
		}
		readers.Wait()
		if n := d.reads.Load(); n > 2*versions {
			t.Errorf("%d versions were read %d times", versions, n)
		}
		left(t, writer)
	})
}

// left says which fills were forgotten by nobody, but for the last one.
func left(t *testing.T, v *versions) {
	t.Helper()
	latest, _, err := v.of.LoadContext(t.Context(), "x")
	if err != nil {
		t.Error(err)
	}
	for known := range latest {
		if _, err := v.client.Describe(t.Context(), client.KindOnce, v.part.Object(fillName("x", known))); err == nil {
			t.Errorf("what was read for version %d is still there", known)
		}
	}
}

// A row that was read before a change and comes after the news of it is not returned.
func TestLateRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		reading, goOn := make(chan bool), make(chan bool)
		var first sync.Once
		d := &table{slow: func() { first.Do(func() { reading <- true; <-goOn }) }}
		s, stop := open(t, cluster, d)
		defer stop()
		got := make(chan row)
		go func() {
			r, err := s.get(t.Context(), "x")
			if err != nil {
				t.Error(err)
			}
			got <- r
		}()
		<-reading
		if err := s.versions.changed(t.Context(), "x", d.now.Add(1)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		goOn <- true
		if r := <-got; r.Version != 1 {
			t.Errorf("version %d", r.Version)
		}
		left(t, s.versions)
	})
}

// Who is cut off knows by the end of its lease that it hears nothing, and has dropped
// everything; later it hears again.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := coordtest.New(t)
		d := &table{slow: func() {}}
		s, stop := open(t, cluster, d)
		defer stop()
		expect := func(version, reads int64) {
			t.Helper()
			r, err := s.get(t.Context(), "x")
			if err != nil || r.Version != version || d.reads.Load() != reads {
				t.Errorf("version %d after %d reads, %v", r.Version, d.reads.Load(), err)
			}
		}
		expect(0, 1)
		expect(0, 1)
		cluster.Pause(s.client)
		if err := newVersions(cluster.Dial(), part()).changed(t.Context(), "x", d.now.Add(1)); err != nil {
			t.Error(err)
		}
		expect(0, 1) // it cannot know
		time.Sleep(ttl)
		expect(1, 2)
		expect(1, 3) // nothing is kept
		cluster.Resume(s.client)
		time.Sleep(time.Minute)
		expect(1, 4)
		expect(1, 4)
	})
}

// The story is told as the doc says.
func TestStory(t *testing.T) {
	got := stagetest.Play(t)
	for _, reader := range []string{"a", "b", "c"} {
		for _, price := range []string{"10", "20", "30"} {
			if !strings.Contains(got, "reader-"+reader+": the lamp costs "+price) {
				t.Errorf("reader %s does not see the price of %s:\n%s", reader, price, got)
			}
		}
	}
	if n := strings.Count(got, "database: reads lamp"); n > 2*3 {
		t.Errorf("three rows are read %d times:\n%s", n, got)
	}
}
