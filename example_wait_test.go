//go:build (unix && !aix) || windows

package mmap_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-498deeca/mmap"
)

// Two programs that map one file. One asks, the other answers, and each sleeps until it
// is its turn. Here both are in one process.
func ExampleAtomicView_Wait() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "shared")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the other may have died
	defer cancel()

	// What is where in the file: two counters, of questions and of answers, and a number.
	const questions, answers, number = 0, 1, 8

	asks := must(mmap.Create(name, 16))
	defer asks.Close()
	done := make(chan bool)
	go func() {
		defer close(done)
		r := must(mmap.Open(name, mmap.ReadWrite))
		defer r.Close()
		count := must(mmap.AtomicOf[uint32](r, 0, 2))
		for count.Load(questions) == 0 { // Wait may return without a reason
			if err := count.Wait(ctx, questions, 0); err != nil {
				log.Fatal(err)
			}
		}
		x := must(mmap.Get[int64](r, number))
		mmap.Put(r, number, x*x)
		count.Add(answers, 1) // after what it announces
		count.Wake(answers, 1)
	}()

	count := must(mmap.AtomicOf[uint32](asks, 0, 2))
	mmap.Put(asks, number, int64(30))
	count.Add(questions, 1)
	count.Wake(questions, 1)
	for count.Load(answers) == 0 {
		if err := count.Wait(ctx, answers, 0); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(must(mmap.Get[int64](asks, number)))
	<-done
	// Output: 900
}
