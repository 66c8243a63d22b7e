// Counters counts primes with several processes. They count in memory that all of
// them map, and a progress display reads the counters meanwhile. When one of the
// processes is killed, nothing is lost.
//
//	go run ./examples/counters                            # 4 workers, one of which is killed
//	go run ./examples/counters -workers 8 -kills 20
//	go run ./examples/counters -limit 50000000 -kills 0   # kill some yourself
//
// The counters are in table.go, and the parent of the workers is in crew.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/seed-498deeca/mmap"
)

// A Job is what to count, and how.
type Job struct {
	Limit   uint64 // primes below it are counted
	Item    uint64 // so many numbers are an item of the work
	Workers int
	Kills   int // at most so many workers are killed
}

func main() {
	var job Job
	flag.Uint64Var(&job.Limit, "limit", 10_000_000, "count the primes below this `number`")
	flag.Uint64Var(&job.Item, "item", 1000, "how many `numbers` are done at a time")
	flag.IntVar(&job.Workers, "workers", 4, "`number` of processes that count")
	flag.IntVar(&job.Kills, "kills", 1, "kill this `number` of processes, or fewer if the work is done before")
	worker := flag.Uint64("worker", 0, "what the program starts its workers with")
	file := flag.String("file", "", "the table of a -worker")
	flag.Parse()
	if job.Limit < 1 || job.Limit > 1<<40 || job.Item < 1 || job.Item > 1<<40 || job.Workers < 1 || job.Kills < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	if *worker != 0 {
		err = work(*file, *worker, job)
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		_, err = count(ctx, &display{w: os.Stdout, terminal: isTerminal(os.Stdout)}, job)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "counters:", err)
		os.Exit(1)
	}
}

// work is a worker: it claims parts and does them, until there are none left.
func work(file string, worker uint64, job Job) error {
	t, err := Open(file)
	if err != nil {
		return err
	}
	defer t.Close()
	return mmap.Guard(func() error {
		for part, found := t.Claim(worker); found; part, found = t.Claim(worker) {
			for item, left := part.Next(); left; item, left = part.Next() {
				part.Done(primes(min(item*job.Item, job.Limit), min((item+1)*job.Item, job.Limit)))
			}
		}
		return nil
	})
}

// primes counts the primes from low up to but not including high.
func primes(low, high uint64) (n uint64) {
	for x := low; x < high; x++ {
		if isPrime(x) {
			n++
		}
	}
	return n
}

func isPrime(x uint64) bool {
	if x < 4 || x%2 == 0 {
		return x == 2 || x == 3
	}
	for d := uint64(3); d*d <= x; d += 2 {
		if x%d == 0 {
			return false
		}
	}
	return true
}
