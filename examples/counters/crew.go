package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/seed-498deeca/mmap"
)

const parts = 64 // many more than workers, so that all have work until the end

// count has workers do the job, shows how far they are, kills some of them, and
// returns how many primes there are.
func count(ctx context.Context, show *display, job Job) (uint64, error) {
	dir, err := os.MkdirTemp("", "counters-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "table") // a file will do on every system; see also mmap.Shared
	items := (job.Limit + job.Item - 1) / job.Item
	t, err := Create(file, parts, (items+parts-1)/parts)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	c := newCrew(job, file, t, show)
	defer c.stop()
	defer show.clear()
	var sum uint64
	err = mmap.Guard(func() (err error) { // in case somebody truncates the file
		sum, err = c.run(ctx)
		return err
	})
	return sum, err
}

// A crew is the workers, as their parent has them.
type crew struct {
	job     Job
	file    string
	table   *Table
	show    *display
	workers map[uint64]*exec.Cmd // those that run, by their numbers
	last    uint64               // the number of the last one
	ended   chan exit
	useless int    // how many ended since an item was done
	before  uint64 // how many items were done then
}

type exit struct {
	worker uint64
	err    error
}

func newCrew(job Job, file string, table *Table, show *display) *crew {
	return &crew{job: job, file: file, table: table, show: show, workers: make(map[uint64]*exec.Cmd), ended: make(chan exit)}
}

// run starts workers, and returns when all have ended and the work is done.
func (c *crew) run(ctx context.Context) (sum uint64, err error) {
	begin := time.Now()
	for range c.job.Workers {
		if err := c.start(); err != nil {
			return 0, err
		}
	}
	c.show.line("primes below %d, counted by %d workers: processes %v", c.job.Limit, len(c.workers), c.processes())
	kills := c.moments()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(c.workers) > 0 {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case e := <-c.ended:
			if err := c.replace(e); err != nil {
				return 0, err
			}
		case <-tick.C:
		}
		done, sum := c.table.Count()
		c.show.progress(done, c.table.Items(), fmt.Sprintf("%d primes, %d workers", sum, len(c.workers)))
		if len(kills) > 0 && done >= kills[0] {
			kills = kills[1:]
			c.killOne()
		}
	}
	done, sum := c.table.Count()
	if items := c.table.Items(); done != items {
		return 0, fmt.Errorf("%d of %d items are done, and all workers have ended", done, items)
	}
	c.show.line("%d primes below %d, in %.1f s", sum, c.job.Limit, time.Since(begin).Seconds())
	return sum, nil
}

// moments chooses when to kill: when so many items are done. One worker is killed in
// the middle, more at random.
func (c *crew) moments() []uint64 {
	items := c.table.Items()
	if c.job.Kills == 1 {
		return []uint64{items / 2}
	}
	moments := make([]uint64, c.job.Kills)
	for i := range moments {
		moments[i] = rand.Uint64N(items)
	}
	slices.Sort(moments)
	return moments
}

// killOne kills a worker (SIGKILL, TerminateProcess): it cannot prepare for that.
func (c *crew) killOne() {
	for _, cmd := range c.workers { // in no order
		cmd.Process.Kill()
		return
	}
}

// start starts one more worker.
func (c *crew) start() error {
	name, err := os.Executable()
	if err != nil {
		return err
	}
	c.last++
	worker := c.last
	cmd := exec.Command(name, "-worker", strconv.FormatUint(worker, 10), "-file", c.file,
		"-limit", strconv.FormatUint(c.job.Limit, 10), "-item", strconv.FormatUint(c.job.Item, 10))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	c.workers[worker] = cmd
	go func() { c.ended <- exit{worker, cmd.Wait()} }()
	return nil
}

// replace does what is to be done when a worker has ended. One that did not end by
// itself leaves parts that are not finished: another one is started for them. Wait has
// returned, so the process stores nothing any more.
func (c *crew) replace(e exit) error {
	process := c.workers[e.worker].Process.Pid
	delete(c.workers, e.worker)
	if e.err == nil {
		return nil
	}
	done, sum := c.table.CountOf(e.worker)
	c.table.Release(e.worker)
	all, _ := c.table.Count()
	if c.useless++; all > c.before {
		c.useless, c.before = 0, all
	}
	if c.useless > 10 {
		return fmt.Errorf("workers end and nothing is done: the last one with %w", e.err)
	}
	if err := c.start(); err != nil {
		return err
	}
	c.show.line("process %d: %v; its %d items with %d primes stay, and process %d goes on from there",
		process, e.err, done, sum, c.workers[c.last].Process.Pid)
	return nil
}

// processes returns the numbers that the system has for the workers.
func (c *crew) processes() (pids []int) {
	for _, cmd := range c.workers {
		pids = append(pids, cmd.Process.Pid)
	}
	slices.Sort(pids)
	return pids
}

// stop ends the workers that still run.
func (c *crew) stop() {
	for _, cmd := range c.workers {
		cmd.Process.Kill()
	}
	for range c.workers {
		<-c.ended
	}
}
