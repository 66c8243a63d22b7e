//go:build (unix && !aix) || windows

package mmap_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/seed-498deeca/mmap"
)

// Two programs that find each other by a name, in any order. One asks, the other
// answers, and each sleeps until it is its turn. What a killed one has left does no
// harm: a question is open as long as the two counters differ. Here both are in one
// process.
func ExampleAtomicView_Wait() {
	name := fmt.Sprintf("mmap-example-wait-%d", os.Getpid())
	defer mmap.RemoveShared(name)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the other may be dead
	defer cancel()

	// What is where: counters of questions and of answers, and a number each.
	const questions, answers, question, answer = 0, 1, 8, 16

	// await returns when integer i is not old.
	await := func(v mmap.AtomicView[uint32], i int, old uint32) error {
		for v.Load(i) == old { // Wait may return without a reason
			if err := v.Wait(ctx, i, old); err != nil {
				return err
			}
		}
		return nil
	}

	answering := func() error {
		r := must(mmap.Shared(name, 24))
		defer r.Close()
		count := must(mmap.AtomicOf[uint32](r, 0, 2))
		for range 3 {
			if err := await(count, questions, count.Load(answers)); err != nil {
				return err
			}
			x := must(mmap.Get[int64](r, question))
			mmap.Put(r, answer, x*x)
			count.Add(answers, 1) // after what it announces
			count.Wake(answers, 1)
		}
		return nil
	}
	asking := func() error {
		r := must(mmap.Shared(name, 24))
		defer r.Close()
		count := must(mmap.AtomicOf[uint32](r, 0, 2))
		for _, x := range []int64{10, 20, 30} {
			old := count.Load(answers)
			mmap.Put(r, question, x)
			count.Add(questions, 1)
			count.Wake(questions, 1)
			if err := await(count, answers, old); err != nil {
				return err
			}
			fmt.Println(must(mmap.Get[int64](r, answer)))
		}
		return nil
	}

	done := make(chan error)
	go func() { done <- mmap.Guard(answering) }() // any process of the user may truncate the memory
	if err := errors.Join(mmap.Guard(asking), <-done); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 100
	// 400
	// 900
}
