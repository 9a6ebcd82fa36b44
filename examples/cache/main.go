// Cache keeps what is read from a slow database in the memory of each process, and drops it
// when any of them has changed it.
//
//	go run ./examples/cache
//
// Who writes to the database then says which version the row has, in a map on the cluster.
// Every process follows the map, and drops what it has of an older version. If it cannot
// follow, because its session is lost or changes were missed, it drops everything, and reads
// from the database until it can. Of many processes that want a row at once one reads it.
//
// There is a moment between the write and the news of it in which others still have the old
// row. A reader that cannot bear that takes a read lock, or does not use a cache.
//
// A writer that dies between the two leaves the old row to others, until the next change: give
// rows a lifetime where that is too long.
//
// What is yours to copy is in cache.go and fill.go.
package main

import (
	"context"
	"os"
	"strconv"
	"time"

	"coordd.dev/client"
	"coordd.dev/examples/internal/stage"
)

func main() { os.Exit(stage.Run(play())) }

func play() stage.Play {
	return stage.Play{
		Name:  "cache",
		Story: story,
		Roles: map[string]stage.Role{"reader": readerRole},
		Leaves: []client.Ref{
			{Kind: client.KindMap, Name: "database"},
			{Kind: client.KindMap, Name: "versions"},
			{Kind: client.KindOnce, Name: fillName("lamp", 3)},
		},
	}
}

// A database stands for a real one, and takes its time.
type database struct {
	rows *client.Map[string, row]
	say  func(format string, args ...any)
}

func newDatabase(c *client.Client, p stage.Part) database {
	return database{client.NewMap[string, row](c, p.Object("database")), p.Say}
}

func (d database) read(ctx context.Context, key string) (row, error) {
	d.say("database: reads %s, slowly", key)
	if err := stage.Work(ctx, time.Second); err != nil {
		return row{}, err
	}
	r, _, err := d.rows.LoadContext(ctx, key)
	return r, err
}

// readerRole says what the lamp costs, whenever it has become another price. It looks again
// and again, as a page does that is asked for often.
func readerRole(ctx context.Context, p stage.Part) error {
	c, err := client.Dial(ctx, "", client.WithName(p.Name))
	if err != nil {
		return err
	}
	defer c.Close()
	s := newCache(c, p, newDatabase(c, p).read)
	stop := s.start(ctx)
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for last, looks := "", 0; ; looks++ {
		r, err := s.get(ctx, "lamp")
		if err != nil {
			return err
		}
		if r.Value != last {
			p.Say("the lamp costs %s (after %d looks at the one before)", r.Value, looks)
			last, looks = r.Value, 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// story has three readers, and a price that changes twice.
func story(ctx context.Context, s *stage.Stage) error {
	c, err := s.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	rows, versions := newDatabase(c, s.Part).rows, newVersions(c, s.Part)
	if err := rows.StoreContext(ctx, "lamp", row{"10", 1}); err != nil {
		return err
	}
	var readers []*stage.Process
	for _, name := range []string{"reader-a", "reader-b", "reader-c"} {
		p, err := s.Start(ctx, "reader", name)
		if err != nil {
			return err
		}
		readers = append(readers, p)
	}
	for version := int64(1); version <= 3; version++ {
		price := strconv.FormatInt(10*version, 10)
		if version > 1 {
			s.Say("the lamp's price is changed to %s", price)
			if err := rows.StoreContext(ctx, "lamp", row{price, version}); err != nil {
				return err
			}
			if err := versions.changed(ctx, "lamp", version); err != nil {
				return err
			}
		}
		for _, p := range readers {
			if _, err := p.Await(ctx, "the lamp costs "+price); err != nil {
				return err
			}
		}
	}
	return nil
}
