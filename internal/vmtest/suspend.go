package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// A machine that waits for a line (plan.Wait) can be suspended there. Each time it goes
// on it is the same machine again, with the same clock: a life costs what it does
// after the line, and no boot. Its disk may be another one, since the guest has not
// looked at it before.

// suspend boots a machine as far as it waits, and keeps its state. From then on, start lets it go on from there.
func (b *boot) suspend(ctx context.Context, log io.Writer, verbose bool) error {
	socket, state := b.file("monitor"), b.file("state")
	b.monitor = "unix:" + socket + ",server=on,wait=off"
	var said strings.Builder // by the monitor
	read := make(chan error, 1)
	b.heard = func(line string) {
		if r, ok := plan.ParseReport(line); ok && r.Event == plan.Wait {
			go func() {
				monitor, err := net.Dial("unix", socket)
				if err == nil {
					defer monitor.Close()
					fmt.Fprintf(monitor, "migrate \"exec:cat >'%s'\"\nquit\n", state)
					io.Copy(&said, monitor)
				}
				read <- err
			}()
		}
	}
	g, _ := b.start(ctx, log, verbose)
	b.monitor, b.heard = "", nil
	if g.up.Event != plan.Wait || len(g.trouble) > 0 {
		return fmt.Errorf("the machine did not come as far as it waits: %s", strings.Join(g.trouble, "; "))
	}
	if err := <-read; err != nil {
		return err
	}
	if i := strings.Index(said.String(), "Error"); i >= 0 {
		return fmt.Errorf("the state of the machine: %s", strings.TrimSpace(said.String()[i:]))
	}
	b.state = state
	return nil
}

// goOn is qemu's arguments for a machine that goes on.
func (b *boot) goOn() []string { return []string{"-incoming", "exec:cat '" + b.state + "'"} }

// lineFor is what the machine reads that goes on. A byte that comes before its serial
// port has its state is lost.
func lineFor(variables ...string) string { return "  " + strings.Join(variables, " ") + "\n" }
