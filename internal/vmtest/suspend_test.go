package main

import (
	"io"
	"slices"
	"testing"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

func TestASuspendedMachineGoesOnFromItsState(t *testing.T) {
	b := &boot{machine: machine{qemu: []string{"qemu"}}}
	if args := b.arguments(false); slices.Contains(args, "-incoming") || args[slices.Index(args, "-monitor")+1] != "none" {
		t.Errorf("a boot: %q", args)
	}
	b.state = "/tmp/state"
	if args := b.arguments(false); args[slices.Index(args, "-incoming")+1] != "exec:cat '/tmp/state'" {
		t.Errorf("going on: %q", args)
	}
}

func TestAMachineThatWaitsIsNoFailure(t *testing.T) {
	g := newGuest(io.Discard, false, nil)
	g.line(`vmtest:{"Event":"wait"}`)
	g.off("")
	if g.up.Event != plan.Wait || len(g.trouble) > 0 {
		t.Errorf("%+v, %q", g.up, g.trouble)
	}
	g = newGuest(io.Discard, false, nil)
	g.off("")
	if len(g.trouble) == 0 {
		t.Error("a machine that neither waits nor comes up is no failure")
	}
}
