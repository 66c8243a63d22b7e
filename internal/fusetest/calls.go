package main

// What happens to the kernel's calls. A rule belongs to an operation and a
// file; the file "*" stands for all of them. A call is counted when it arrives,
// then delayed, then held, and then fails or goes on to the file. So what is
// held or fails has changed nothing yet.
//
// A held caller stays held whatever signals it gets: the Go runtime sends many.

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Operations are called as in the FUSE protocol. Any other word is a mistake of
// the test.
var operations = strings.Fields(`lookup getattr setattr open create read write fsync flush release
	fallocate statfs unlink rename opendir readdir fsyncdir`)

type where struct{ op, file string }

type rule struct {
	count   int           // calls that arrived
	delay   time.Duration // of each
	gate    chan struct{} // where calls wait until it is closed; nil: they do not
	waiting int           // calls held at a gate
	errno   unix.Errno    // with which calls fail
	fails   int           // how many will fail; below 0: all
}

type calls struct {
	mu      sync.Mutex
	rules   map[where]*rule
	log     []string      // "op:file" of each call, in the order of arrival
	changed chan struct{} // closed and replaced when a count or waiting changes
	ended   bool          // nothing is held, delayed or failed any more
}

func newCalls() *calls {
	return &calls{rules: make(map[where]*rule), changed: make(chan struct{})}
}

// at returns a rule that is made if need be; c.mu is held.
func (c *calls) at(w where) *rule {
	r := c.rules[w]
	if r == nil {
		r = new(rule)
		c.rules[w] = r
	}
	return r
}

// change runs fn on a rule and wakes who waits for a change.
func (c *calls) change(w where, fn func(r *rule)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(c.at(w))
	close(c.changed)
	c.changed = make(chan struct{})
}

// enter is the way of every call. What it returns is the call's result, if that
// is not OK.
func (c *calls) enter(op, file string) fuse.Status {
	c.mu.Lock()
	c.log = append(c.log, op+":"+file)
	c.mu.Unlock()
	for _, w := range []where{{op, file}, {op, "*"}} {
		if errno := c.pass(w); errno != 0 {
			return fuse.Status(errno)
		}
	}
	return fuse.OK
}

func (c *calls) pass(w where) (errno unix.Errno) {
	var delay time.Duration
	c.change(w, func(r *rule) {
		r.count++
		delay = r.delay
	})
	time.Sleep(delay)

	var gate chan struct{}
	c.change(w, func(r *rule) {
		if gate = r.gate; gate != nil {
			r.waiting++
		}
	})
	if gate != nil {
		<-gate
		c.change(w, func(r *rule) { r.waiting-- })
	}

	c.change(w, func(r *rule) {
		if r.fails != 0 {
			errno = r.errno
			r.fails = max(r.fails-1, -1)
		}
	})
	return errno
}

func (c *calls) hold(w where) {
	c.change(w, func(r *rule) {
		if r.gate == nil && !c.ended {
			r.gate = make(chan struct{})
		}
	})
}

func (c *calls) release(w where) { c.change(w, (*rule).release) }

func (r *rule) release() {
	if r.gate != nil {
		close(r.gate)
		r.gate = nil
	}
}

// heal ends delays and failures.
func (c *calls) heal(w where) {
	c.change(w, func(r *rule) { r.delay, r.fails = 0, 0 })
}

// releaseAll lets every call pass from now on.
func (c *calls) releaseAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, r := range c.rules {
		r.release()
		r.delay, r.fails = 0, 0
	}
}

// wait returns once number(rule) is at least n.
func (c *calls) wait(w where, what string, n int, patience time.Duration, number func(r *rule) int) error {
	late := time.After(patience)
	for {
		c.mu.Lock()
		got, changed := number(c.at(w)), c.changed
		c.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-changed:
		case <-late:
			return fmt.Errorf("%d of %s %s %s after %v, want %d", got, w.op, w.file, what, patience, n)
		}
	}
}

// taken returns the log and empties it.
func (c *calls) taken() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := strings.Join(c.log, " ")
	c.log = nil
	return log
}
