package mmap

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// gameRounds is how many of n rounds two sides play. Where timers are coarse, a round of
// those that poll takes tens of milliseconds.
func gameRounds(n int, polling bool) int {
	if polling {
		n = 500
	}
	return rounds(n)
}

// TestGoroutinesThatWaitForEachOther do so on one processor, too: the thread of a waiter
// holds what the other needs to run.
func TestGoroutinesThatWaitForEachOther(t *testing.T) {
	for _, procs := range []int{runtime.GOMAXPROCS(0), 1} {
		t.Run(itoa(procs), func(t *testing.T) {
			eachWay(t, func(t *testing.T, polling bool) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				v := words(t, 2)
				n := uint32(gameRounds(10_000, polling))
				ctx, cancel := context.WithTimeout(context.Background(), waitPatience)
				defer cancel()
				failed := make(chan error)
				go func() { failed <- play(ctx, v, 1, 0, n) }()
				begin := time.Now()
				if err := errors.Join(play(ctx, v, 0, 1, n), <-failed); err != nil {
					t.Fatal(err)
				}
				t.Logf("%v a round trip", time.Since(begin)/time.Duration(n))
			})
		})
	}
}

// play is one side of a game of n rounds: each side counts in its own word, and waits
// for the other to have counted. The one of word 0 begins.
func play(ctx context.Context, v AtomicView[uint32], own, other int, n uint32) error {
	for k := range n {
		if own == 0 {
			if err := ring(v, own, k+1); err != nil {
				return err
			}
		}
		if err := awaitFor(ctx, v, other, k); err != nil {
			return err
		}
		if got := v.Load(other); got != k+1 {
			return errors.New("the other side has counted to " + itoa(int(got)) + ", this one to " + itoa(int(k)))
		}
		if own != 0 {
			if err := ring(v, own, k+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestNoWakeUpIsLost plays between two processes. Where the system has queues, each
// sleeps until it is woken: a lost wake-up would be the end of the game.
func TestNoWakeUpIsLost(t *testing.T) {
	eachWay(t, func(t *testing.T, polling bool) {
		n := gameRounds(500_000, polling) // each has a wait on either side
		name := tempFile(t, make([]byte, 4*2*lineWords))
		r := open(t, name, ReadWrite)
		p := startPuppet(t, childPlay, name, itoa(n), strconv.FormatBool(polling))
		p.want("ready")
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		sleepTillWoken(t)
		begin := time.Now()
		if err := play(ctx, wordsOf(t, r), 0, lineWords, uint32(n)); err != nil {
			t.Error(err)
		}
		t.Logf("%d rounds, %v each", n, time.Since(begin)/time.Duration(n))
		p.end()
	})
}

// lineWords is how many words lie between two that processes store to: each has a
// cache line of its own.
const lineWords = 32

// sleepTillWoken has waiters not look by themselves.
func sleepTillWoken(t testing.TB) {
	old := longestSleep
	longestSleep = time.Hour
	t.Cleanup(func() { longestSleep = old })
}

var childPlay = registerChild("that plays", func(t testing.TB, args []string) {
	r := open(t, args[0], ReadWrite)
	n, _ := strconv.Atoi(args[1])
	if args[2] == "true" {
		noQueues(t)
	}
	sleepTillWoken(t)
	say(t, "ready")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := play(ctx, wordsOf(t, r), lineWords, 0, uint32(n)); err != nil {
		t.Error(err)
	}
})
